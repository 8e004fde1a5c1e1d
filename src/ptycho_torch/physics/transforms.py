"""Discrete Fourier transforms of fields: by the library that PyTorch has, or by kernels of our own."""

import functools
from collections.abc import Callable

import torch
from jaxtyping import Complex
from torch import Tensor

from ptycho_torch.base.kernels import made, may_be_launched

# So many squares that kernels are tried.
MANY = 128
# Fields -> their transform, or its adjoint.
Transform = Callable[..., Tensor]


def transformed(x: Complex[Tensor, "*batch y x"], *, back: bool = False) -> Complex[Tensor, "*batch y x"]:
    """Return sum_n exp(-2 pi i k n / N) x[n] along y and x, or its adjoint: nothing is divided.

    A GPU has kernels for squares of some sides, in single precision.
    """
    height, width = x.shape[-2:]
    own = x.dtype == torch.complex64 and height == width and may_be_launched(x)
    return (_transform_of(width, x.device) if own else by_library)(x, back=back)


def by_library(x: Complex[Tensor, "*batch y x"], *, back: bool = False) -> Complex[Tensor, "*batch y x"]:
    """Return what `transformed` returns, by the library."""
    return torch.fft.ifft2(x, norm="forward") if back else torch.fft.fft2(x)


@functools.cache
def _transform_of(size: int, device: torch.device) -> Transform:
    """Return what transforms squares with a side on a GPU."""

    def make() -> Transform:
        from ptycho_torch.physics.transform_kernels import SIDES, by_kernels

        return by_kernels if size in SIDES else by_library

    def trial(transform: Transform) -> None:
        if transform is not by_library:
            transform(torch.zeros(MANY, size, size, dtype=torch.complex64, device=device))

    return made(make, trial, by_library, "transforms of fields have")
