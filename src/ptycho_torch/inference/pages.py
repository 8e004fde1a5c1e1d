"""What the counts say of every pixel of fields on the detector: the plain way, on any device."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex64, Float, Float32, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.objectives.poisson import FLOOR, poisson_deviance, tempered_deviance
from ptycho_torch.physics.modulus import over_modes, squared_modulus
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.per_pixel import per_pixel
from ptycho_torch.physics.transforms import transformed

Fields = Complex64[Tensor, "frame mode y x"]
Canvas = Complex64[Tensor, "height width"]
Number = Float32[Tensor, ""]


@dataclass(frozen=True)
class Pixels:
    """Some frames of a scan, and which of their pixels take part: those of the mask that are not held out.

    ``then`` are those of the next chunk; ``held`` some masks, and ``mask_of`` which of them each frame has.
    """

    scan: Scan
    frames: Int64[Tensor, " frame"]
    then: Int64[Tensor, " next"] | None
    held: Bool[Tensor, "mask y x"]
    mask_of: Int64[Tensor, " frame"]

    @property
    def held_out(self) -> Bool[Tensor, "frame y x"]:
        """The pixels that take no part."""
        return self.held[self.mask_of]

    @property
    def used(self) -> Float32[Tensor, "frame y x"]:
        """1 for the pixels that take part, 0 for others: an operation on bits would make numbers of them every time."""
        return (self.scan.mask & ~self.held_out).to(torch.float32)


@dataclass(frozen=True)
class Lit:
    """Where frames lie on the canvas, and the probe of each with all that surrounds a bare transform."""

    look: PatchesAt
    probes: Fields


@dataclass(frozen=True)
class Judged:
    """What the counts say of fields on the detector.

    Attributes
    ----------
    sums
        Deviance of the pixels that take part, sum |sqrt(lambda) - sqrt(n)|, sum sqrt(n), the tempered deviance
        (`ptycho_torch.objectives.poisson.tempered_deviance`), and half its slope in a light that falls on all pixels:
        those of some parts, which are still to be added up.
    deviance
        That of every pixel, where it was wanted.
    """

    sums: Float[Tensor, "5 part"]
    deviance: Float32[Tensor, "frame y x"] | None


class Pages:
    """What is done with every pixel of fields on the detector."""

    def judged(
        self, field: Fields, along: tuple[Fields, Number] | None, haze: Number, pixels: Pixels, *, each: bool
    ) -> tuple[Judged, Fields]:
        """Judge fields on the detector; return also the gradient of half the tempered deviance with respect to them.

        Parameters
        ----------
        field
            Fields, sqrt(counts).
        along
            How they change along a line, and how far along it they go, in place, before they are judged; they stay
            where they are when None.
        haze
            Counts that every pixel gets without the sample.
        pixels
            What was measured.
        each
            Whether the deviance of every pixel is wanted.
        """
        if along is not None:
            change, length = along
            # Of real numbers, which a processor adds faster.
            torch.view_as_real(field).addcmul_(torch.view_as_real(change), length)
        mask, used = pixels.scan.mask.to(torch.float32), pixels.used
        measured = pixels.scan.counts(pixels.frames, pixels.then)
        expected = _expected(field, haze) * mask
        deviance = poisson_deviance(expected, measured)
        tempered, residual = (part * used for part in tempered_deviance(expected, measured))
        root = measured.sqrt()
        parts = (deviance * used, (expected.sqrt() - root).abs(), root, tempered, residual)
        sums = torch.stack([part.sum(dtype=torch.float64) for part in parts])
        return Judged(sums[:, None], deviance if each else None), (2 * residual)[:, None] * field

    def bent(
        self, field: Fields, change: Fields, haze: Number, haze_change: Number, pixels: Pixels
    ) -> Float[Tensor, " part"]:
        """Return the Fisher curvature sum (d lambda)^2 / lambda of fields that change, over the pixels that take part.

        ``change`` and ``haze_change`` are to first order. The sums of some parts are still to be added up.
        """
        together = over_modes(field.real * change.real + field.imag * change.imag)
        change_in_counts = 2 * together + haze_change
        known = _expected(field, haze).clamp_min(FLOOR)
        return (pixels.used * change_in_counts.square() / known).sum(dtype=torch.float64)[None]

    def changed(
        self,
        lit: Lit,
        along: Canvas,
        field: Fields,
        haze: Number,
        haze_change: Number,
        pixels: Pixels,
    ) -> tuple[Fields, Float[Tensor, " part"]]:
        """Return how fields change along a direction in the object, and what is `bent` by it."""
        change = transformed(per_pixel(along).exit_waves(lit.probes, along, lit.look))
        return change, self.bent(field, change, haze, haze_change, pixels)

    def judged_further(
        self,
        lit: Lit,
        field: Fields,
        change: Fields,
        length: Number,
        haze: Number,
        pixels: Pixels,
        gradient: Canvas,
        *,
        each: bool,
    ) -> Judged:
        """Go so far along a line and judge fields there, as `judged`; add the gradient in the object to a canvas."""
        judged, slope = self.judged(field, (change, length), haze, pixels, each=each)
        back = transformed(slope, back=True)
        per_pixel(back).add_back(gradient, lit.probes, back, lit.look)
        return judged


def _expected(field: Fields, haze: Number) -> Float32[Tensor, "frame y x"]:
    return over_modes(squared_modulus(field)) + haze
