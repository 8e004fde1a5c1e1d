"""The Poisson likelihood of a whole scan, its gradient and its curvature, in chunks of frames."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.objectives.poisson import FLOOR, poisson_deviance
from ptycho_torch.physics.forward import Placement
from ptycho_torch.physics.illumination import Illumination
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.propagation import FarField
from ptycho_torch.physics.scaling import flux_ratio, flux_sums
from ptycho_torch.physics.subpixel import SubpixelShift

# Bytes of exit waves in one chunk: a processor likes what fits its cache, a GPU what fills it.
CHUNK_BYTES = {"cpu": 4 << 20, "cuda": 512 << 20}


@dataclass(frozen=True)
class Estimate:
    """An object (height, width) with a probe (mode, y, x), or a direction in the space of both."""

    object_: Complex64[Tensor, "height width"]
    probe: Complex64[Tensor, "mode y x"]

    def dot(self, other: "Estimate") -> float:
        """Return the real inner product Re <self, other>."""
        pairs = ((self.object_, other.object_), (self.probe, other.probe))
        return sum(float((torch.view_as_real(a) * torch.view_as_real(b)).sum(dtype=torch.float64)) for a, b in pairs)

    def plus(self, factor: float, other: "Estimate") -> "Estimate":
        """Return self + factor * other."""
        return Estimate(self.object_ + factor * other.object_, self.probe + factor * other.probe)

    def times(self, object_factor: Tensor | float, probe_factor: Tensor | float) -> "Estimate":
        """Return the object and the probe, each multiplied by a factor of its own."""
        return Estimate(self.object_ * object_factor, self.probe * probe_factor)


@dataclass(frozen=True)
class Value:
    """What the likelihood says of an estimate.

    Mean Poisson deviance of a pixel that takes part and of one held out (about 1 for the truth) with the standard
    error of the latter, R-factor
    sum |sqrt(lambda) - sqrt(n)| / sum sqrt(n) over all pixels, and the gradient of half the summed deviance.
    """

    deviance: float
    held_out: float
    held_out_error: float
    r_factor: float
    gradient: Estimate


@dataclass(frozen=True)
class Chunk:
    """Some frames: their rows among those that take part, their numbers in the scan, and where their patches lie."""

    rows: slice
    frames: Int64[Tensor, " frame"]
    look: PatchesAt
    place: SubpixelShift


class Likelihood:
    """Half the Poisson deviance between a scan and what an object and a probe make the detector expect.

    Parameters
    ----------
    scan, placement
        The measurement, and where its patches lie on the canvas.
    held_out_fraction
        Share of the trusted pixels that take no part: they tell when iterations begin to fit the noise.
    probe_free
        Whether the gradient with respect to the probe is wanted; it is zero otherwise.
    frames
        Frames that take part; all of the scan when None.
    """

    def __init__(
        self,
        scan: Scan,
        placement: Placement,
        *,
        held_out_fraction: float,
        probe_free: bool,
        frames: Int64[Tensor, " frame"] | None = None,
        seed: int = 0,
    ) -> None:
        self.scan = scan
        self.placement = placement
        self.probe_free = probe_free
        self.object_shape = placement.object_shape
        self.far_field = FarField()
        device = scan.positions.device
        n_frames = max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cpu"]) // (8 * scan.size**2))
        frames = torch.arange(len(scan), device=device) if frames is None else frames
        self.chunks = []
        for start in range(0, len(frames), n_frames):
            rows = slice(start, min(start + n_frames, len(frames)))
            part = placement.part(frames[rows])
            self.chunks.append(Chunk(rows, frames[rows], part.look(), part.place()))
        generator = torch.Generator(device=device).manual_seed(seed)
        draw = torch.rand(len(frames), scan.size, scan.size, generator=generator, device=device)
        self.held = (draw < held_out_fraction) & scan.mask
        self.n_held = int(self.held.sum())
        self.n_used = len(frames) * int(scan.mask.sum()) - self.n_held

    def fields(self, at: Estimate) -> Iterator[tuple[Chunk, Illumination, Tensor, Tensor]]:
        """Yield the frames in chunks: their illumination, object patches, and fields on the detector by mode."""
        for chunk in self.chunks:
            illumination = Illumination(chunk.place.spread(at.probe))
            patches = chunk.look(at.object_)
            yield chunk, illumination, patches, self.far_field(illumination(patches))

    def __call__(self, at: Estimate) -> Value:
        """Return deviance, held-out deviance, R-factor and gradient at an estimate."""
        sums = torch.zeros(5, dtype=torch.float64)
        gradient_object = torch.zeros_like(at.object_)
        gradient_probe = torch.zeros_like(at.probe)
        for chunk, illumination, patches, field in self.fields(at):
            measured = self.scan.counts(chunk.frames)
            expected = torch.view_as_real(field).square().sum(dim=(1, -1)) * self.scan.mask
            held = self.held[chunk.rows]
            deviance = poisson_deviance(expected, measured)
            outside = deviance[held].double()
            root = measured.sqrt()
            sums += torch.stack(
                [
                    deviance.sum(dtype=torch.float64) - outside.sum(),
                    outside.sum(),
                    outside.square().sum(),
                    (expected.sqrt() - root).abs().sum(dtype=torch.float64),
                    root.sum(dtype=torch.float64),
                ]
            ).cpu()
            residual = (1 - measured / expected.clamp_min(FLOOR)) * (self.scan.mask & ~held)
            back = self.far_field.adjoint(2 * residual[:, None] * field)
            gradient_object += chunk.look.adjoint(illumination.adjoint(back))
            if self.probe_free:
                gradient_probe += chunk.place.gathered(patches.conj()[:, None] * back)
        used, outside_sum, outside_squares, difference, total = sums.tolist()
        n_held = max(self.n_held, 1)
        mean = outside_sum / n_held
        return Value(
            used / self.n_used,
            mean,
            (max(outside_squares / n_held - mean**2, 0.0) / n_held) ** 0.5,
            difference / total,
            Estimate(gradient_object, gradient_probe),
        )

    def curvature(self, at: Estimate, along: Estimate) -> float:
        """Return the Fisher curvature sum (d lambda)^2 / lambda along a direction, never negative."""
        total = 0.0
        for chunk, illumination, patches, field in self.fields(at):
            change = illumination(chunk.look(along.object_))
            if self.probe_free:
                change = change + chunk.place.spread(along.probe) * patches[:, None]
            slope = 2 * (field.conj() * self.far_field(change)).real.sum(dim=1)
            expected = torch.view_as_real(field).square().sum(dim=(1, -1))
            used = self.scan.mask & ~self.held[chunk.rows]
            total += float((used * slope.square() / expected.clamp_min(FLOOR)).sum(dtype=torch.float64))
        return total

    def flux(self, at: Estimate) -> float:
        """Return counts measured over counts expected, the scale of the expected counts that is most likely."""
        sums = [
            flux_sums(
                self.scan.counts(chunk.frames), torch.view_as_real(field).square().sum(dim=(1, -1)) * self.scan.mask
            )
            for chunk, _, _, field in self.fields(at)
        ]
        return flux_ratio(torch.stack(sums).sum(dim=0))

    def light(self, at: Estimate) -> Float32[Tensor, "height width"]:
        """Return sum_j |P_j|^2 on every canvas pixel: how much the scan can know of it, counts."""
        seen = torch.zeros(self.object_shape, device=at.object_.device)
        for chunk in self.chunks:
            weights = torch.view_as_real(chunk.place.spread(at.probe)).square().sum(dim=(1, -1))
            seen += chunk.look.adjoint(weights)
        return seen

    def transparency(self, at: Estimate) -> Float32[Tensor, "y x"]:
        """Return sum_j |O_j|^2 on every probe pixel: how much the scan can know of it."""
        seen = torch.zeros(at.probe.shape[-2:], device=at.probe.device)
        for chunk in self.chunks:
            seen += torch.view_as_real(chunk.look(at.object_)).square().sum(dim=(0, -1))
        return seen
