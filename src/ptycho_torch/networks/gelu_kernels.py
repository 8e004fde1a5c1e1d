"""The gelu and its gradient, as kernels for a GPU and for the kernels of others."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.networks.gelu import Gelu

# Values that a program of a kernel works on.
BLOCK = 2048


class GeluKernels(Gelu):
    """`Gelu` for a GPU, in single precision within."""

    def gelu(self, x: Tensor) -> Tensor:
        """Return the gelu of features."""
        x = _dense(x)
        found = torch.empty_like(x)
        _gelu[(triton.cdiv(x.numel(), BLOCK),)](x, found, x.numel(), BLOCK)
        return found

    def slope(self, slope: Tensor, x: Tensor) -> Tensor:
        """Return the gradient with respect to the features."""
        x = _dense(x)
        found = torch.empty_like(x)
        if slope.stride() != x.stride():
            slope = torch.empty_like(x).copy_(slope)
        _gelu_slope[(triton.cdiv(x.numel(), BLOCK),)](x, slope, found, x.numel(), BLOCK)
        return found


def _dense(x: Tensor) -> Tensor:
    """Return features without gaps in memory."""
    like = torch.empty_like(x)
    return x if x.stride() == like.stride() else like.copy_(x)


@triton.jit
def _beyond(x):
    """Return the share of a normal distribution above the size of x, and exp(-x^2 / 2).

    To 3e-7, by equation 26.2.17 of Abramowitz and Stegun, Handbook of Mathematical Functions (1964): the error function
    that a GPU brings along takes more arithmetic.
    """
    bell = tl.exp2(-0.7213475204444817 * x * x)
    # A division would be several instructions.
    root = tl.rsqrt(1 + 0.2316418882 * tl.abs(x))
    t = root * root
    series = 0.7107068705 + t * (-0.7265760135 + t * 0.5307027145)
    return bell * t * (0.127414796 + t * (-0.142248368 + t * series)), bell


@triton.jit
def gelu_of(x):
    """Return x times the share of a normal distribution below it."""
    beyond, _ = _beyond(x)
    return tl.maximum(x, 0.0) - tl.abs(x) * beyond


@triton.jit
def gelu_slope_of(x):
    """Return the derivative of a gelu."""
    beyond, bell = _beyond(x)
    return tl.where(x < 0, beyond, 1 - beyond) + 0.3989422804014327 * x * bell


@triton.jit
def _gelu(x, found, n, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + place, mask=place < n, other=0.0).to(tl.float32)
    tl.store(found + place, gelu_of(value).to(found.dtype.element_ty), mask=place < n)


@triton.jit
def _gelu_slope(x, slope, found, n, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + place, mask=place < n, other=0.0).to(tl.float32)
    lead = tl.load(slope + place, mask=place < n, other=0.0).to(tl.float32)
    tl.store(found + place, (lead * gelu_slope_of(value)).to(found.dtype.element_ty), mask=place < n)
