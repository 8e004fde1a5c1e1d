"""From the sample to the far field."""

import torch
from jaxtyping import Complex
from torch import Tensor

from ptycho_torch.physics.operator import LinearOperator


class FarField(LinearOperator):
    """Unitary two-dimensional Fourier transform with zero frequency at index N // 2 (Parseval holds)."""

    def forward(self, x: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Propagate exit waves to the detector."""
        return torch.fft.fftshift(torch.fft.fft2(x, norm="ortho"), dim=(-2, -1))

    def adjoint(self, y: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Propagate back."""
        return torch.fft.ifft2(torch.fft.ifftshift(y, dim=(-2, -1)), norm="ortho")
