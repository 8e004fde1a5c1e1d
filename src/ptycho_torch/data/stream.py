"""A stream of simulated experiments that is never stored: every step draws its own, and the seed decides them all."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Complex64, Float32, Float64
from torch import Tensor
from torch.utils.data import Dataset

from ptycho.grouping.regions import region_sides
from ptycho.simulation.variety import draw_contrast, draw_pictures, draw_positions, draw_probe
from ptycho_torch.data.batch import Sides

# Side of a picture in units of N: a region of neighbouring patches is cut from a random place of it.
PICTURE = 2.5
# Pictures that regions are cut from.
KEPT = 256
# Share of steps with one probe mode; the others have 2 or 3.
ONE_MODE = 0.75
# Share of regions whose amplitude and phase come from one object.
ONE_OBJECT = 0.5


@dataclass(frozen=True)
class Draw:
    """What a step simulates.

    Attributes
    ----------
    pictures
        Pairs of amplitude and phase from 0 to 1, fresh for this step; there may be none but in the first.
    probe
        (region, mode, y, x): the power of each is the counts of a frame behind a transparent object.
    positions
        (region, member, 2), (y, x) px.
    source
        (region, 2): which of the kept pictures give amplitude and phase, as a fraction of their number.
    place
        (region, 2): where in a picture the region lies, as a fraction of the room there is.
    symmetry
        (region, 3): mirrored along y, along x, transposed.
    contrast
        (region, 2): absorption and phase of `ptycho.simulation.variety.Contrast`.
    seed
        Of the noise.
    sides
        Those of the canvas of a region, see `ptycho_torch.data.batch.Step`.
    """

    pictures: Float32[Tensor, "fresh 2 side side"]
    probe: Complex64[Tensor, "region mode y x"]
    positions: Float64[Tensor, "region member 2"]
    source: Float64[Tensor, "region 2"]
    place: Float64[Tensor, "region 2"]
    symmetry: Bool[Tensor, "region 3"]
    contrast: Float32[Tensor, "region 2"]
    seed: int
    sides: Sides

    def to(self, device: torch.device) -> "Draw":
        """Return it on another device, without waiting for the copy where it comes from page-locked memory."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Draw":
        """Return it in page-locked memory; a loader that pins calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, move: Callable[[Tensor], Tensor]) -> "Draw":
        moved = {name: move(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)

    def numel(self) -> int:
        """Return the number of patterns."""
        return self.positions.shape[0] * self.positions.shape[1]


@dataclass(frozen=True, eq=False)
class SimulationStream(Dataset[Draw]):
    """Step -> what it simulates; the same for the same seed, wherever and in whatever order it is made.

    Attributes
    ----------
    size
        Side N of a pattern, px.
    n_regions, n_members
        Regions in a step, and neighbouring positions in a region.
    objects
        Names of `ptycho.simulation.objects.OBJECTS`.
    photons, overlap
        Least and largest: counts of a frame behind a transparent object (drawn evenly in their logarithm), and
        overlap of neighbouring positions.
    reuse
        Regions for each picture that is made; those of a step are cut from the pictures of earlier steps too.
    seed
        Of every draw.
    n_steps
        How many there are.
    """

    size: int
    n_regions: int
    n_members: int
    objects: Sequence[str]
    photons: tuple[float, float]
    overlap: tuple[float, float]
    _: KW_ONLY
    reuse: int
    seed: int
    n_steps: int

    def __len__(self) -> int:
        return self.n_steps

    def __getitem__(self, step: int) -> Draw:
        rng = np.random.default_rng([self.seed, step])
        n, side = self.n_regions, round(PICTURE * self.size)
        n_modes = 1 if rng.random() < ONE_MODE else int(rng.integers(2, 4))
        dose = np.exp(rng.uniform(*np.log(self.photons), n))
        probes = [draw_probe(self.size, n_modes, rng) for _ in range(n)]
        positions = [draw_positions(self.n_members, self.overlap, probe, side - self.size - 1, rng) for probe in probes]
        contrasts = [draw_contrast(rng) for _ in range(n)]
        source = rng.random((n, 2))
        same = rng.random(n) < ONE_OBJECT
        source[same, 1] = source[same, 0]
        # The first step begins with one.
        n_fresh = -(-(step + 1) * n // self.reuse) - -(-step * n // self.reuse)
        pictures = [draw_pictures((side, side), self.objects, rng) for _ in range(n_fresh)]
        return Draw(
            torch.from_numpy(np.array(pictures, dtype=np.float32).reshape(n_fresh, 2, side, side)),
            torch.from_numpy((np.sqrt(dose)[:, None, None, None] * np.stack(probes)).astype(np.complex64)),
            torch.from_numpy(np.stack(positions)),
            torch.from_numpy(source),
            torch.from_numpy(rng.random((n, 2))),
            torch.from_numpy(rng.random((n, 3)) < 0.5),
            torch.tensor([[each.absorption, each.phase] for each in contrasts], dtype=torch.float32),
            int(rng.integers(2**62)),
            region_sides(np.stack(positions), self.size),
        )


class Pictures:
    """The pictures of the last steps, on the device; objects are cut from them."""

    def __init__(self) -> None:
        self._kept: Tensor | None = None
        self._n_seen = 0

    def add(self, fresh: Float32[Tensor, "fresh 2 side side"]) -> None:
        """Take pictures in; the oldest make room."""
        if self._kept is None:
            self._kept = fresh.new_empty(KEPT, *fresh.shape[1:])
        slots = (self._n_seen + torch.arange(len(fresh), device=fresh.device)) % KEPT
        self._kept[slots] = fresh
        self._n_seen += len(fresh)

    def objects(self, draw: Draw, shape: tuple[int, int]) -> Complex64[Tensor, "region height width"]:
        """Return an object of ``shape`` for every region of a step."""
        assert self._kept is not None
        side, device = self._kept.shape[-1], self._kept.device
        height, width = shape
        room = torch.tensor([side - height + 1, side - width + 1], device=device)
        first = (draw.place * room).long()
        y, x = torch.arange(height, device=device), torch.arange(width, device=device)
        rows = first[:, :1] + torch.where(draw.symmetry[:, :1], height - 1 - y, y)
        columns = first[:, 1:] + torch.where(draw.symmetry[:, 1:2], width - 1 - x, x)
        turned = draw.symmetry[:, 2, None, None]
        index = torch.where(
            turned, columns[:, None, :] * side + rows[:, :, None], rows[:, :, None] * side + columns[:, None, :]
        )
        which = (draw.source * min(self._n_seen, KEPT)).long()
        images = self._kept[which, torch.arange(2, device=device)].flatten(2)
        amplitude, phase = images.gather(2, index.flatten(1)[:, None].expand(-1, 2, -1)).unbind(dim=1)
        absorption, turn = draw.contrast[:, :1], draw.contrast[:, 1:]
        return torch.polar(torch.exp(-absorption * (1 - amplitude)), turn * phase).view(-1, *shape)
