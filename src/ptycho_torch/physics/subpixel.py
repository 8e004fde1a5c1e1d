"""Moving fields by a fraction of a pixel through their Fourier transform."""

from functools import cached_property

import torch
from jaxtyping import Complex64, Float
from torch import Tensor

from ptycho_torch.physics.operator import LinearOperator
from ptycho_torch.physics.per_pixel import per_pixel
from ptycho_torch.physics.transforms import transformed


class SubpixelShift(LinearOperator):
    """Shift the content of field j by +remainder_j: F^-1[ exp(-2 pi i (k_y d_y + k_x d_x)) F[.] ], a unitary map.

    Parameters
    ----------
    remainder
        (patch, 2) real, (y, x), px; usually in [0, 1).
    size
        Side N of a field, px.
    """

    ramp_y: Tensor
    ramp_x: Tensor

    def __init__(self, remainder: Float[Tensor, "patch 2"], size: int) -> None:
        super().__init__()
        frequency = torch.fft.fftfreq(size, device=remainder.device, dtype=remainder.dtype)
        turns = remainder[:, :, None] * frequency
        ramps = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns).to(torch.complex64)
        self.register_buffer("ramp_y", ramps[:, 0, :, None], persistent=False)
        self.register_buffer("ramp_x", ramps[:, 1, None, :], persistent=False)
        self.size = size

    @property
    def ramps(self) -> Complex64[Tensor, "patch y x"]:
        """The factors in Fourier space."""
        return self.ramp_y * self.ramp_x

    @cached_property
    def _factors(self) -> Complex64[Tensor, "patch y x"]:
        return (self.ramp_y / self.size**2) * self.ramp_x

    def factors(self, zero: int = 0) -> Complex64[Tensor, "patch y x"]:
        """Return the ramps over N^2, for a transform back that would otherwise divide in a pass of its own.

        ``zero`` is the index of frequency zero.
        """
        return self._factors.roll((zero, zero), (1, 2)) if zero else self._factors

    def forward(self, x: Complex64[Tensor, "*patch y x"]) -> Complex64[Tensor, "shifted y x"]:
        """Shift field j by remainder j, or one field by each."""
        return self.spread(x.unsqueeze(-3))[:, 0]

    def adjoint(self, y: Complex64[Tensor, "patch y x"]) -> Complex64[Tensor, "patch y x"]:
        """Shift field j by minus remainder j."""
        spectra = transformed(y)[:, None]
        return transformed(per_pixel(spectra).turned(spectra, self, back=True), back=True)[:, 0]

    def spread(
        self, fields: Complex64[Tensor, "*patch mode y x"], zero: int = 0
    ) -> Complex64[Tensor, "patch mode y x"]:
        """Return every field shifted to every remainder, or the fields of each patch to its own.

        It is the probe as each frame sees it, from one probe for all or one for each. ``zero`` is the index of
        frequency zero in the transform of the fields: N // 2 where `surrounding` is part of them.
        """
        spectra = transformed(fields)
        spectra = spectra if spectra.ndim == 4 else spectra[None]
        return transformed(per_pixel(spectra).turned(spectra, self, zero=zero), back=True)
