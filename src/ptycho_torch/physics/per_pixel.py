"""What physics does with every pixel between two transforms: the plain way, on any device; and how a device does it."""

import functools
from typing import TYPE_CHECKING

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from ptycho_torch.base.kernels import made, may_be_launched
from ptycho_torch.physics.modulus import over_modes, squared_modulus

if TYPE_CHECKING:
    from ptycho_torch.physics.patches import PatchesAt
    from ptycho_torch.physics.subpixel import SubpixelShift

Fields = Complex[Tensor, "patch mode y x"]
Canvas = Complex[Tensor, "height width"]


class PerPixel:
    """The things that are done with every pixel, by plain operations."""

    def turned(
        self, spectra: Complex[Tensor, "_ mode y x"], place: "SubpixelShift", *, back: bool = False, zero: int = 0
    ) -> Fields:
        """Return spectra, those of each patch or one for all, times the factors of a shift, or those of its adjoint."""
        factors = place.factors(zero)[:, None]
        return spectra * (factors.conj() if back else factors)

    def lit(
        self, patches: Complex[Tensor, "patch y x"], weight: Float[Tensor, "*patch y x"]
    ) -> Complex[Tensor, "patch y x"]:
        """Return patches times their weights, or one for all."""
        return weight.to(patches.dtype) * patches

    def cut(self, canvas: Shaped[Tensor, "height width"], look: "PatchesAt") -> Shaped[Tensor, "patch y x"]:
        """Return the patches that lie on a canvas."""
        return canvas.reshape(-1).index_select(0, look.index.reshape(-1)).view(look.index.shape)

    def stitched(self, patches: Shaped[Tensor, "patch y x"], look: "PatchesAt") -> Shaped[Tensor, "height width"]:
        """Return patches added up on an empty canvas: the adjoint of `cut`."""
        return self.add_to(torch.zeros(look.object_shape, dtype=patches.dtype, device=patches.device), patches, look)

    def add_to(
        self, canvas: Shaped[Tensor, "height width"], patches: Shaped[Tensor, "patch y x"], look: "PatchesAt"
    ) -> Shaped[Tensor, "height width"]:
        """Add patches to a canvas, in place, and return it."""
        canvas.view(-1).index_add_(0, look.index.reshape(-1), patches.reshape(-1))
        return canvas

    def exit_waves(self, probes: Fields, canvas: Canvas, look: "PatchesAt") -> Fields:
        """Return probes times the patches that lie on a canvas."""
        return probes * self.cut(canvas, look)[:, None]

    def add_back(self, canvas: Canvas, probes: Fields, waves: Fields, look: "PatchesAt") -> Canvas:
        """Add waves times conjugate probes, summed over modes, to a canvas, in place: the adjoint of `exit_waves`."""
        return self.add_to(canvas, over_modes(probes.conj() * waves), look)

    def intensity(self, fields: Fields) -> Float[Tensor, "patch y x"]:
        """Return sum_m |Psi_m|^2."""
        return over_modes(squared_modulus(fields))

    def missing(
        self,
        counts: Float[Tensor, "patch y x"],
        modulus: Float[Tensor, "*patch y x"],
        direction: Complex[Tensor, "*patch mode y x"],
    ) -> Fields:
        """Return what the roots of counts have more than a modulus, along a direction."""
        return (counts.sqrt() - modulus)[:, None] * direction


PLAIN = PerPixel()


def per_pixel(like: Tensor) -> PerPixel:
    """Return what computes pixels where fields lie, in their precision."""
    return _kernels(like.device) if like.dtype == torch.complex64 and may_be_launched(like) else PLAIN


@functools.cache
def _kernels(device: torch.device) -> PerPixel:
    def make() -> PerPixel:
        from ptycho_torch.physics.kernels import Kernels

        return Kernels()

    fields = torch.zeros(1, 1, 8, 8, dtype=torch.complex64, device=device)
    return made(make, lambda kernels: kernels.intensity(fields), PLAIN, "fields of the forward model have")
