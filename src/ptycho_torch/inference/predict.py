"""From patterns to the stitched object, in batches."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Complex64, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional

from ptycho.base.watching import NOBODY, Stage, Watcher
from ptycho.config.execution import Precision
from ptycho_torch.base.recording import why_not
from ptycho_torch.data.pictures import show
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.arithmetic import autocast
from ptycho_torch.inference.captured import Captured, by_compiler
from ptycho_torch.physics.backprojection import BackProjection
from ptycho_torch.physics.forward import Placement, divide, merge, probe_weight, stack_regions
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.pinn.unrolled import Frames, UnrolledPINN
from ptycho_torch.processes.world import ALONE, World

logger = logging.getLogger(__name__)

# Passes from which one is captured: a guess, as capturing takes as long as several passes that are not.
CAPTURED_FROM = 16
# Pixels of patterns from which the network is compiled: an H200 takes 10 to 20 s for that, and saves as much on so many
# (630,000 patterns of 64 x 64 px a second become 1,100,000: benchmarks/speed.py).
COMPILED_FROM = 2**36


@torch.no_grad()
def stitch(
    pinn: PtychoPINN,
    scan: Scan,
    placement: Placement,
    groups: Int64[Tensor, "group member"],
    *,
    batch_size: int,
    flux: float = 1.0,
) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
    """Predict a patch for every member of every group and merge them all on one canvas, weighted by the light.

    Parameters are those of `summed_patches`.

    Returns
    -------
    object, coverage
        The canvas and the light on it.
    """
    return divide(*summed_patches(pinn, scan, placement, groups, batch_size=batch_size, flux=flux))


@torch.no_grad()
def summed_patches(
    pinn: PtychoPINN,
    scan: Scan,
    placement: Placement,
    groups: Int64[Tensor, "group member"],
    *,
    batch_size: int,
    flux: float = 1.0,
    precision: Precision = "32-true",
    watcher: Watcher = NOBODY,
    world: World = ALONE,
) -> Complex64[Tensor, "2 height width"]:
    """Predict a patch for every member of every group; sum lit patches, and the light, on one canvas.

    Parameters
    ----------
    pinn, scan, placement
        The trained network, the measurement, and where each of its patches lies.
    groups
        Patterns that the network sees together; (pattern, 1) for a network that sees each alone.
    batch_size
        Groups in one pass of the network.
    flux
        Counts of this scan over counts of the training scan.
    precision
        Arithmetic of the network.
    watcher
        Who is told how it goes.
    world
        The processes that share the groups; each predicts its part, and the sums are over all.

    Returns
    -------
    sums
        Numerator and denominator. Those of parts of a scan add up to those of the whole, unless the network sees
        neighbours. A pattern that is in several groups counts once, by the mean of its patches: the light is what fell.
    """
    if isinstance(pinn, UnrolledPINN):
        members, how = groups[:, 0], {"batch_size": batch_size, "flux": flux, "watcher": watcher, "world": world}
        with autocast(groups.device, precision):
            return _sums_of_passes(pinn, scan, placement, members, **how)
    times_seen = torch.bincount(groups.reshape(-1), minlength=len(scan))
    groups = groups[world.share(len(groups))]
    batch_size = max(1, min(batch_size, len(groups)))
    compiled = groups.device.type == "cuda" and groups.numel() * scan.size**2 >= COMPILED_FROM
    one_pass = Pass(pinn, scan, placement, times_seen, flux=flux, precision=precision, compiled=compiled)
    add: Callable[[Tensor, Tensor | None], None] = one_pass
    if one_pass.capturable and len(groups) >= CAPTURED_FROM * batch_size:
        add = _captured(one_pass, (batch_size, groups.shape[1]), groups.device) or one_pass
    stage = Stage(watcher, "prediction", len(groups), measure="", unit="patterns")
    done = 0
    for some, then in _with_next(groups.split(batch_size)):
        add(some, then)
        done += len(some)
        stage.advance(done, some.numel())
        if watcher.wants_picture:
            show(watcher, *divide(*one_pass.sums))
    return world.sum(one_pass.sums)


class Pass:
    """A pass of the network over some groups: their lit patches, and the light, are added to sums on one canvas.

    Parameters
    ----------
    pinn, scan, placement, flux, precision
        As `summed_patches` has them.
    times_seen
        In how many groups each pattern of the scan is.
    compiled
        Whether the network is compiled when it first runs.

    Attributes
    ----------
    nobody
        Number of a frame that is none: its patch lies below the canvas and so adds nothing.
    """

    def __init__(
        self,
        pinn: PtychoPINN,
        scan: Scan,
        placement: Placement,
        times_seen: Int64[Tensor, " frame"],
        *,
        flux: float = 1.0,
        precision: Precision = "32-true",
        compiled: bool = False,
    ) -> None:
        self.scan, self.nobody = scan, len(scan)
        self._pinn = pinn
        self._said = by_compiler(pinn.network.said, "the network") if compiled else pinn.network.said
        self._autocast = partial(autocast, scan.positions.device, precision)
        self._scale = pinn.input_scale / flux**0.5
        probe = pinn.probe.detach()
        # As bright as this scan: a back projection has no unit.
        self._project = BackProjection(probe * flux**0.5) if pinn.back_projected else None
        light = probe_weight(probe)
        seen = functional.pad(times_seen, (0, 1), value=1)
        self._weight = light / seen[:, None, None] if pinn.channels > 1 else light
        self._height, width = placement.object_shape
        below = torch.tensor([[self._height, 0]], device=light.device)
        self._placement = Placement(
            torch.cat([placement.corners, below]),
            functional.pad(placement.remainder, (0, 0, 0, 1)),
            (self._height + placement.size, width),
            placement.size,
        )
        self._sums = torch.zeros((2, *self._placement.object_shape), dtype=torch.complex64, device=light.device)

    @property
    def capturable(self) -> bool:
        """Whether all that a pass needs is on a GPU that may do it in any order."""
        on_gpu = self._sums.device.type == "cuda" and isinstance(self.scan.patterns, Tensor)
        return on_gpu and not torch.are_deterministic_algorithms_enabled()

    @property
    def sums(self) -> Complex64[Tensor, "2 height width"]:
        """Numerator and denominator of the canvas so far."""
        return self._sums[:, : self._height]

    @torch.no_grad()
    def __call__(self, groups: Int64[Tensor, "group member"], then: Int64[Tensor, "next member"] | None = None) -> None:
        """Add what the network says of groups; patterns of those that come next are read meanwhile."""
        members = groups.reshape(-1)
        coming = None if then is None else then.reshape(-1)
        counts = self.scan.counts(members.clamp_max(self.nobody - 1), coming)
        images = self._pinn.images(counts, self._project, self._scale)
        with self._autocast():
            said = self._said(images)
        part = self._placement.part(members)
        look, place = part.look(), part.place()
        weight = self._weight[members] if self._pinn.channels > 1 else self._weight
        lit = self._pinn.network.patches(said, weight).reshape(counts.shape)
        for canvas, fields in zip(self._sums, (lit, weight.to(lit.dtype)), strict=True):
            look.add_to(canvas, place(fields))


def _captured(one_pass: Pass, shape: tuple[int, int], device: torch.device) -> Captured | None:
    """Return a pass over groups of a shape as it is captured; None, with a warning, where it can't be."""
    try:
        return Captured(one_pass, shape, one_pass.nobody, device)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        why = why_not(error)
        logger.warning("passes are launched kernel by kernel: recording one as a CUDA graph failed (%s)", why)
        return None


def _sums_of_passes(
    pinn: UnrolledPINN,
    scan: Scan,
    placement: Placement,
    members: Int64[Tensor, " pattern"],
    *,
    batch_size: int,
    flux: float,
    watcher: Watcher,
    world: World,
) -> Complex64[Tensor, "2 height width"]:
    """Return the sums of lit patches, and of the light, after the last pass over a canvas that all frames share."""
    members = members[world.share(len(members))]

    def total(says: Callable[[Frames], Tensor], dtype: torch.dtype = torch.complex64) -> Tensor:
        summed = torch.zeros(placement.object_shape, dtype=dtype, device=members.device)
        for some, then in _with_next(members.split(batch_size)):
            frames = Frames.of(scan.counts(some, then) / flux, placement.part(some), pinn.probe, scan.mask)
            frames.look.add_to(summed, says(frames))
        return world.sum(summed)

    light = total(lambda frames: frames.light, torch.float32)
    canvas = lit = torch.ones_like(light, dtype=torch.complex64)
    stage = Stage(watcher, "prediction", pinn.passes * len(members), measure="", unit="patterns")
    for done in range(1, pinn.passes + 1):
        residual = total(partial(Frames.residual, canvas=canvas))
        lit = total(partial(pinn.lit_patches, canvas, residual, light))
        canvas, coverage = divide(lit, light.to(torch.complex64))
        stage.advance(done * len(members), len(members))
        if watcher.wants_picture:
            show(watcher, canvas, coverage)
    return torch.stack([lit, light.to(torch.complex64)])


def _with_next(parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield every part and the one after it, None after the last."""
    return itertools.zip_longest(parts, parts[1:])


@torch.no_grad()
def merge_groups(
    pinn: PtychoPINN,
    amplitude: Float32[Tensor, "group member y x"],
    relative: Float64[Tensor, "group member 2"],
    *,
    batch_size: int,
) -> tuple[Complex64[Tensor, "group y x"], Complex64[Tensor, "group member y x"]]:
    """Predict the patches of groups and merge those of each on a canvas of its own, cut about the group's centre.

    Parameters
    ----------
    pinn
        The trained network.
    amplitude
        Normalised amplitude, mean energy N^2 / 4.
    relative
        Member minus the centre of its group, (y, x) px.
    batch_size
        Groups in one pass of the network.

    Returns
    -------
    objects, patches
        The merged object of every group, and the patch of every pattern, on the CPU.
    """
    device, size = pinn.probe.device, amplitude.shape[-1]
    objects, patches = [], []
    for images, places in zip(amplitude.split(batch_size), relative.split(batch_size), strict=True):
        predicted = pinn.forward_predict(images.to(device))
        placement = stack_regions(places.to(device), size)
        canvas, _ = merge(predicted.flatten(0, 1), probe_weight(pinn.probe), placement.look(), placement.place())
        corners = places.floor().long() - size // 2
        # The centre of a group, position 0, begins at -N // 2; its canvas begins at the first corner.
        rows, columns = (-(size // 2) - corners.amin(dim=1)).T.tolist()
        regions = canvas.view(len(images), -1, canvas.shape[1])
        cut = [
            region[row : row + size, column : column + size]
            for region, row, column in zip(regions, rows, columns, strict=True)
        ]
        objects.append(torch.stack(cut).cpu())
        patches.append(predicted.cpu())
    return torch.cat(objects), torch.cat(patches)
