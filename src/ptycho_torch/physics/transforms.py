"""Discrete Fourier transforms of fields: by the library that PyTorch has, or by kernels of our own."""

import functools
from collections.abc import Callable

import torch
from jaxtyping import Complex
from torch import Tensor

from ptycho_torch.base.kernels import made, may_be_launched

# Sides of squares that kernels transform -> how many of them they transform sooner than the library.
SIDES = {64: 1, 128: 100}
# Fields -> their transform, or its adjoint.
Transform = Callable[..., Tensor]


def transformed(x: Complex[Tensor, "*batch y x"], *, back: bool = False) -> Complex[Tensor, "*batch y x"]:
    """Return sum_n exp(-2 pi i k n / N) x[n] along y and x, or its adjoint: nothing is divided.

    A GPU has kernels for squares of some sides, in single precision.
    """
    height, width = x.shape[-2:]
    own = width in SIDES and height == width and x.dtype == torch.complex64 and may_be_launched(x)
    return (_transform_of(width, x.device) if own else by_library)(x, back=back)


def by_library(x: Complex[Tensor, "*batch y x"], *, back: bool = False) -> Complex[Tensor, "*batch y x"]:
    """Return what `transformed` returns, by the library."""
    return torch.fft.ifft2(x, norm="forward") if back else torch.fft.fft2(x)


@functools.cache
def _transform_of(size: int, device: torch.device) -> Transform:
    """Return what transforms squares with one of the SIDES on a GPU."""

    def make() -> Transform:
        from ptycho_torch.physics.transform_kernels import by_kernels

        return by_kernels

    squares = torch.zeros(SIDES[size], size, size, dtype=torch.complex64, device=device)
    return made(make, lambda transform: transform(squares), by_library, "transforms of fields have")
