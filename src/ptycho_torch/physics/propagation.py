"""From the sample to the far field."""

import torch
from jaxtyping import Complex, Complex128
from torch import Tensor

from ptycho_torch.physics.operator import LinearOperator
from ptycho_torch.physics.transforms import transformed


class FarField(LinearOperator):
    """Unitary two-dimensional Fourier transform with zero frequency at index N // 2 (Parseval holds)."""

    def forward(self, x: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Propagate exit waves to the detector."""
        return transformed(x * surrounding(x))

    def adjoint(self, y: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Propagate back."""
        return transformed(y, back=True) * surrounding(y).conj()


class BareTransform(LinearOperator):
    """`FarField` of exit waves that carry what else surrounds a Fourier transform: a probe does that once for all."""

    def forward(self, x: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Propagate exit waves times `surrounding` to the detector."""
        return transformed(x)

    def adjoint(self, y: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Propagate back."""
        return transformed(y, back=True)


def surrounding(like: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "y x"]:
    """Return exp(2 pi i (N // 2) n / N) / sqrt(N) along y and x.

    A product with it moves frequency 0 to index N // 2 and makes a transform unitary. It costs a fraction of moving the
    quarters of the pattern about, which is as much work as the transform itself.
    """
    height, width = like.shape[-2:]
    return (_ramp(height, like)[:, None] * _ramp(width, like)).to(like.dtype)


def _ramp(size: int, like: Tensor) -> Complex128[Tensor, " size"]:
    turn = 2j * torch.pi * (size // 2) / size
    return torch.exp(turn * torch.arange(size, device=like.device, dtype=torch.float64)) / size**0.5
