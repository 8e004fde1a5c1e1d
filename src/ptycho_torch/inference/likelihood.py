"""The Poisson likelihood of a whole scan, with what is expected of the object beforehand, in chunks of frames."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Bool, Complex64, Float32, Float64, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.frame_probes import PARTS, FrameProbes
from ptycho_torch.inference.pages import Judged, Number, Pages, Pixels
from ptycho_torch.inference.prior import Prior
from ptycho_torch.objectives.poisson import FLOOR, poisson_deviance, tempered_deviance
from ptycho_torch.physics.forward import Placement
from ptycho_torch.physics.modulus import over_modes, squared_modulus
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.per_pixel import per_pixel
from ptycho_torch.physics.propagation import FarField
from ptycho_torch.physics.scaling import flux_ratio, flux_sums
from ptycho_torch.physics.subpixel import SubpixelShift
from ptycho_torch.processes.world import ALONE, World

# Bytes of exit waves in one chunk: a processor likes what fits its cache, a GPU what fills it.
CHUNK_BYTES = {"cpu": 2 << 20, "cuda": 512 << 20}
# Bytes of masks of pixels that are held out, and pixels that are enough to tell when iterations fit noise.
MASK_BYTES, ENOUGH_HELD = 2**24, 2**22
# Parts of an estimate that the fields on the detector depend on.
FROM_FIELDS = PARTS | {"object_"}
# Mean square of the weights of a variation that is assumed as long as they are smaller: they begin at zero.
WEAK = 1e-2
# Share of the stiffness that a position has in a known object: one that is made from the same frames follows them.
LOOSE = 0.03


@dataclass(frozen=True)
class Value:
    """What the likelihood says of an estimate.

    Mean Poisson deviance of a pixel that takes part (about 1 for the truth), that of every pixel held out, of the
    frames of this process, and the mean of all held out, 0 without any; R-factor sum |sqrt(lambda) - sqrt(n)| /
    sum sqrt(n) over all pixels; the objective, half the summed tempered deviance
    (`ptycho_torch.objectives.poisson.tempered_deviance`) and what the prior adds, and its gradient.
    """

    deviance: float
    held_out: Float32[Tensor, " pixel"]
    held_out_mean: float
    r_factor: float
    objective: float
    gradient: Estimate


@dataclass(frozen=True)
class Chunk:
    """Some frames: their rows among those that take part, their numbers in the scan, and where their patches lie.

    ``then`` are those of the next chunk. Operators are made when they are needed: all of them would fill the memory.
    """

    rows: slice
    frames: Int64[Tensor, " frame"]
    placement: Placement
    then: Int64[Tensor, " next"] | None

    @property
    def look(self) -> PatchesAt:
        """What cuts the patches; its adjoint stitches."""
        return self.placement.look()

    @property
    def place(self) -> SubpixelShift:
        """What moves fields by the sub-pixel remainders."""
        return self.placement.place()


# Some frames, and what judges their fields on the detector: (gradient, to which it adds what follows from that, counts
# that every pixel gets without the sample, pixels, whether the deviance of each is wanted).
Seen = tuple[Chunk, Callable[[Estimate, Number, Pixels, bool], Judged]]
# Some frames, and what is bent by the change of their fields: (counts without the sample, how these change, pixels).
Changed = tuple[Chunk, Callable[[Number, Number, Pixels], Tensor]]


class Likelihood:
    """Half the tempered Poisson deviance between a scan and what an estimate makes the detector expect.

    Parameters
    ----------
    scan, placement
        The measurement, and where its patches lie on the canvas. Positions of an estimate may differ from the
        placement's by about a pixel: the probe carries the difference.
    held_out_fraction
        Share of the trusted pixels that take no part, 4 million at most: they tell when iterations begin to fit the
        noise.
    free
        Parts of an estimate whose gradient is wanted; that of the others is zero, and directions do not change them.
    prior
        What is expected of the object beforehand; nothing when None.
    frames
        Frames that take part; all of the scan when None.
    world
        The processes that share these frames. Each looks at its part of them and all that is returned is of the whole,
        but for what is told chunk by chunk.
    """

    def __init__(
        self,
        scan: Scan,
        placement: Placement,
        *,
        held_out_fraction: float,
        free: Iterable[str] = ("object_",),
        prior: Prior | None = None,
        frames: Int64[Tensor, " frame"] | None = None,
        seed: int = 0,
        world: World = ALONE,
    ) -> None:
        self.scan = scan
        self.world = world
        self.free = frozenset(free)
        self.prior = prior
        self.object_shape = placement.object_shape
        self.far_field = FarField()
        self.pages = Pages()
        device = scan.positions.device
        self.frames = torch.arange(len(scan), device=device) if frames is None else frames
        self._cut(placement)
        n_pixels = scan.size**2
        # Frames take turns where there are many: their noise is independent, and so is what the same pixels say.
        n_masks = min(len(self.frames), max(1, MASK_BYTES // n_pixels)) if held_out_fraction > 0 else 1
        held = torch.zeros(n_masks, scan.size, scan.size, dtype=torch.bool, device=device)
        if held_out_fraction > 0:
            fraction = min(held_out_fraction, ENOUGH_HELD / (len(self.frames) * n_pixels))
            generator = torch.Generator(device=device).manual_seed(seed)
            held = torch.rand(held.shape, generator=generator, device=device) < fraction
        self.held = held & scan.mask
        self.mask_of = torch.arange(len(self.frames), device=device) % n_masks

    @cached_property
    def n_used(self) -> int:
        """Pixels that take part."""
        n_held = int(self.held.sum(dim=(1, 2))[self.mask_of].sum())
        return len(self.frames) * int(self.scan.mask.sum()) - n_held

    @cached_property
    def _outside(self) -> dict[int, Int64[Tensor, " pixel"]]:
        """First row of every chunk -> where the pixels that are held out lie among all of its frames."""
        return {chunk.rows.start: self.pixels(chunk.rows).held_out.reshape(-1).nonzero()[:, 0] for chunk in self.chunks}

    @property
    def _own(self) -> slice:
        """Rows of the frames that this process works on."""
        return self.world.share(len(self.frames))

    def pixels(self, rows: slice, then: Int64[Tensor, " next"] | None = None) -> Pixels:
        """Return what was measured of some of the frames, and which pixels take part; ``then`` as `Chunk` has it."""
        return Pixels(self.scan, self.frames[rows], then, self.held, self.mask_of[rows])

    def _cut(self, placement: Placement) -> None:
        self.placement = placement
        device, size = self.frames.device, self.scan.size
        n_frames = max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cpu"]) // (8 * size**2))
        self.chunks = []
        own = self._own
        for start in range(own.start, own.stop, n_frames):
            stop = min(start + n_frames, own.stop)
            rows, then = slice(start, stop), slice(stop, min(stop + n_frames, own.stop))
            following = self.frames[then] if stop < own.stop else None
            self.chunks.append(Chunk(rows, self.frames[rows], placement.part(self.frames[rows]), following))

    def _copy(self) -> "Likelihood":
        """Return a copy that counts its pixels anew."""
        other = copy.copy(self)
        for counted in ("n_used", "_outside"):
            vars(other).pop(counted, None)
        return other

    def freeing(self, free: Iterable[str]) -> "Likelihood":
        """Return the same likelihood with other parts free."""
        other = self._copy()
        other.free = frozenset(free)
        return other

    def computing(self, pages: Pages) -> "Likelihood":
        """Return the same likelihood with another way to compute what it says of every pixel."""
        other = self._copy()
        other.pages = pages
        return other

    def holding_out(self, held: Bool[Tensor, "mask y x"], mask_of: Int64[Tensor, " frame"]) -> "Likelihood":
        """Return the same likelihood with other pixels held out: some masks, and which one each frame has."""
        other = self._copy()
        other.held, other.mask_of = held & self.scan.mask, mask_of
        return other

    def part(self, rows: Int64[Tensor, " some"]) -> "Likelihood":
        """Return the likelihood of some of the frames, given by their rows among those that take part."""
        other = self._copy()
        other.frames = self.frames[rows]
        other._cut(self.placement)
        other.mask_of = self.mask_of[rows]
        return other

    def expecting(self, prior: Prior | None) -> "Likelihood":
        """Return the same likelihood with something else expected of the object beforehand."""
        other = self._copy()
        other.prior = prior
        return other

    def recut(self, positions: Float64[Tensor, "frame 2"]) -> "Likelihood":
        """Return the same likelihood with patches cut around other positions, px on the canvas."""
        other = self._copy()
        other._cut(self.placement.moved_to(positions))
        return other

    def probes(self, at: Estimate) -> Iterator[tuple[Chunk, FrameProbes]]:
        """Yield the frames in chunks, and the probe as each of them sees it."""
        for chunk in self.chunks:
            place = chunk.place
            if at.positions is not None:
                place = SubpixelShift(chunk.placement.remainder_of(at.positions[chunk.frames]), self.scan.size)
            yield chunk, FrameProbes(at, chunk.frames, place)

    def fields(self, at: Estimate) -> Iterator[tuple[Chunk, FrameProbes, Tensor, Tensor]]:
        """Yield the frames in chunks: their probes, object patches, and fields on the detector by mode."""
        for chunk, probes in self.probes(at):
            patches = chunk.look(at.object_)
            yield chunk, probes, patches, self.far_field(probes.fields * patches[:, None])

    def expected(self, at: Estimate, field: Complex64[Tensor, "patch mode y x"]) -> Float32[Tensor, "patch y x"]:
        """Return the counts to expect of fields on the detector."""
        counts = over_modes(squared_modulus(field))
        return counts if at.haze is None else counts + at.haze.square()

    def __call__(self, at: Estimate) -> Value:
        """Return deviance, held-out deviance, R-factor, objective and gradient at an estimate."""
        return self.value(at, self._seen(at))

    def _seen(self, at: Estimate) -> Iterator[Seen]:
        for chunk, probes, patches, field in self.fields(at):
            yield chunk, partial(self._judged, chunk, probes, patches, field)

    def _judged(
        self,
        chunk: Chunk,
        probes: FrameProbes,
        patches: Tensor,
        field: Tensor,
        gradient: Estimate,
        haze: Number,
        pixels: Pixels,
        each: bool,
    ) -> Judged:
        """Judge fields, and add to a gradient what follows from that with respect to them."""
        judged, slope = self.pages.judged(field, None, haze, pixels, each=each)
        if self.free & FROM_FIELDS:
            back = self.far_field.adjoint(slope)
            if "object_" in self.free:
                per_pixel(back).add_back(gradient.object_, probes.fields, back, chunk.look)
            if self.free & PARTS:
                probes.add_gradient(gradient, patches.conj()[:, None] * back, self.free)
        return judged

    def value(self, at: Estimate, seen: Iterable[Seen]) -> Value:
        """Return what the likelihood says of an estimate whose fields on the detector are ``seen``, chunk by chunk."""
        sums, outside, gradient = self.told(at, seen)
        return self.read(sums.tolist(), outside, gradient)

    def told(
        self, at: Estimate, seen: Iterable[Seen]
    ) -> tuple[Float64[Tensor, "6"], Float32[Tensor, " pixel"], Estimate]:
        """Return the same as `value` while it is still on the device: sums, deviance of pixels held out, gradient."""
        device = self.frames.device
        parts = [torch.zeros(5, 1, device=device)]
        # What is kept of every chunk goes to one place: between large tensors that come and go it would scatter them.
        n_outside = sum(len(where) for where in self._outside.values())
        outside, begin = torch.empty(n_outside, device=device), 0
        gradient = at.times(0.0)
        haze = self._haze(at)
        for chunk, judge in seen:
            judged = judge(gradient, haze, self.pixels(chunk.rows, chunk.then), n_outside > 0)
            parts.append(judged.sums)
            if judged.deviance is not None:
                where = self._outside[chunk.rows.start]
                torch.index_select(judged.deviance.view(-1), 0, where, out=outside[begin : begin + len(where)])
                begin += len(where)
        sums = torch.zeros(6, dtype=torch.float64, device=device)
        torch.sum(torch.cat(parts, dim=1), dim=1, dtype=torch.float64, out=sums[:5])
        if "haze" in self.free:
            gradient.haze.add_(2 * at.haze * sums[4])
        sums[4] = outside.sum(dtype=torch.float64)
        # Not `sums[5] = `, which would bring the number from the processor in a copy of its own.
        sums[5].fill_(n_outside)
        self.world.sum(sums)
        # In one order everywhere: sets have none.
        for name in sorted(self.free):
            self.world.sum(gradient.parts[name])
        if self.prior is not None:
            added, slope_of_prior = self.prior(at.object_)
            sums[3] += 2 * added
            if "object_" in self.free:
                gradient.object_.add_(slope_of_prior)
        return sums, outside, gradient

    def read(self, sums: Sequence[float], outside: Float32[Tensor, " pixel"], gradient: Estimate) -> Value:
        """Return as a value what the likelihood has `told`, the sums brought from the device."""
        used_sum, difference, total, twice_objective, of_held, n_held = sums
        return Value(
            used_sum / self.n_used,
            outside,
            of_held / max(n_held, 1),
            difference / total if total else 0.0,
            twice_objective / 2,
            gradient,
        )

    def _haze(self, at: Estimate) -> Float32[Tensor, ""]:
        """Return the counts that every pixel gets without the sample."""
        return torch.zeros((), device=self.frames.device) if at.haze is None else at.haze.square()

    def probe_gradients(self, at: Estimate) -> Iterator[Complex64[Tensor, "patch mode y x"]]:
        """Yield, chunk by chunk, what every frame alone says of the probe: gradients with respect to its modes."""
        for chunk, probes, patches, field in self.fields(at):
            _, slope = tempered_deviance(self.expected(at, field), self.scan.counts(chunk.frames, chunk.then))
            back = self.far_field.adjoint(2 * (slope * self.pixels(chunk.rows).used)[:, None] * field)
            yield torch.fft.ifft2(probes.at_home(torch.fft.fft2(patches.conj()[:, None] * back)))

    def curvature(self, at: Estimate, along: Estimate) -> float:
        """Return the Fisher curvature sum (d lambda)^2 / lambda along a direction and the prior's; never negative."""
        return float(self.bend(at, along, self._changes(at, along)))

    def _changes(self, at: Estimate, along: Estimate) -> Iterator[Changed]:
        for chunk, probes, patches, field in self.fields(at):
            change = probes.fields * chunk.look(along.object_)[:, None]
            if self.free & PARTS:
                change = change + probes.change(along, self.free) * patches[:, None]
            yield chunk, partial(self.pages.bent, field, self.far_field(change))

    def bend(self, at: Estimate, along: Estimate, changes: Iterable[Changed]) -> Float64[Tensor, ""]:
        """Return the curvature along a direction, for fields and their ``changes`` to first order, chunk by chunk."""
        parts = [torch.zeros(1, device=self.frames.device)]
        haze, haze_change = self._haze(at), torch.zeros((), device=self.frames.device)
        if "haze" in self.free:
            haze_change = 2 * at.haze * along.haze
        for chunk, bent in changes:
            parts.append(bent(haze, haze_change, self.pixels(chunk.rows)))
        total = self.world.sum(torch.cat(parts).sum(dtype=torch.float64))
        return total if self.prior is None else total + self.prior.curvature(at.object_, along.object_)

    def frame_deviances(self, at: Estimate) -> Float64[Tensor, " frame"]:
        """Return the deviance of every frame that takes part, summed over the pixels that do."""
        found = torch.empty(len(self.frames), dtype=torch.float64, device=self.frames.device)
        for chunk, _, _, field in self.fields(at):
            deviance = poisson_deviance(self.expected(at, field), self.scan.counts(chunk.frames, chunk.then))
            found[chunk.rows] = (deviance * self.pixels(chunk.rows).used).sum(dim=(1, 2), dtype=torch.float64)
        return self.world.gather(found[self._own], len(self.frames))

    def flux(self, at: Estimate) -> float:
        """Return counts measured over counts expected, the scale of the expected counts that is most likely."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.frames.device)
        for chunk, _, _, field in self.fields(at):
            sums += flux_sums(self.scan.counts(chunk.frames, chunk.then), self.expected(at, field) * self.scan.mask)
        return flux_ratio(self.world.sum(sums))

    def light(self, at: Estimate) -> Float32[Tensor, "height width"]:
        """Return sum_j |P_j|^2 on every canvas pixel: how much the scan can know of it, counts."""
        seen = torch.zeros(self.object_shape, device=at.object_.device)
        for chunk, probes in self.probes(at):
            chunk.look.add_to(seen, squared_modulus(probes.fields).sum(dim=1))
        return self.world.sum(seen)

    def transparency(self, at: Estimate) -> Float32[Tensor, "y x"]:
        """Return sum_j |O_j|^2 on every probe pixel: how much the scan can know of it."""
        seen = torch.zeros(at.probe.shape[-2:], device=at.probe.device)
        for chunk in self.chunks:
            seen += squared_modulus(chunk.look(at.object_)).sum(dim=0)
        return self.world.sum(seen)

    def stiffness(self, at: Estimate) -> dict[str, Tensor]:
        """Return, for every part, how much can be known of each of its values: half the Fisher information.

        Light for the object; transparency for the probe; a share of sum |dP_j O_j|^2 for a position.
        """
        stiff = {"object_": self.light(at), "probe": self.transparency(at)}
        if at.variations is not None:
            stiff["variations"] = stiff["probe"] * at.weights.square().mean(dim=0).clamp_min(WEAK)[:, None, None]
        found = {name: torch.zeros_like(part) for name, part in at.parts.items() if name not in stiff}
        if found:
            for chunk, probes, patches, field in self.fields(at):
                self._add_stiffness(found, at, chunk, probes, patches, field)
        stiff |= {name: self.world.sum(part) for name, part in found.items()}
        if at.haze is not None:
            # A background below its own error, 1 / sqrt(sum 1 / I) counts, is as stiff as one of so many counts.
            stiff["haze"] = 2 * torch.maximum(at.haze.square() * stiff["haze"], stiff["haze"].sqrt())
        return stiff

    def _add_stiffness(
        self,
        found: dict[str, Tensor],
        at: Estimate,
        chunk: Chunk,
        probes: FrameProbes,
        patches: Tensor,
        field: Tensor,
    ) -> None:
        transmission = squared_modulus(patches)
        if "positions" in found:
            slopes = squared_modulus(probes.slopes()).sum(dim=2)
            found["positions"][chunk.frames] = LOOSE * (slopes * transmission).sum(dim=(2, 3)).T.double()
        if "weights" in found:
            power = squared_modulus(at.variations)
            known = torch.einsum("vyx,fyx->fv", power, transmission)
            found["weights"][chunk.frames] = known if probes.gain is None else known * probes.gain[:, :, 0, 0].square()
        if "gain" in found:
            light = squared_modulus(field).sum(dim=(1, 2, 3))
            found["gain"][chunk.frames] = 2 * light / at.gain[chunk.frames].square()
        if "haze" in found:
            found["haze"] += (self.scan.mask / self.expected(at, field).clamp_min(FLOOR)).sum()
