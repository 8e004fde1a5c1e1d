"""The Poisson deviance of patterns, and its gradient, as kernels for a GPU."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ptycho_torch.objectives.poisson import FLOOR

# Pixels that a program of a kernel works on.
BLOCK = 1024

_FLOOR = tl.constexpr(FLOOR)
# Least of (n - lambda) / lambda: the logarithm of nothing is not asked for.
_LOWEST = tl.constexpr(torch.finfo(torch.float32).eps - 1)


def summed_deviance(expected: Tensor, measured: Tensor, mask: Tensor) -> Tensor:
    """Return what `ptycho_torch.objectives.poisson.summed_deviance` returns; measured counts have no gradient."""
    return _Summed.apply(expected, measured, mask)


class _Summed(Function):
    @staticmethod
    def forward(ctx: Any, expected: Tensor, measured: Tensor, mask: Tensor) -> Tensor:
        expected, measured, mask = expected.contiguous(), measured.contiguous(), mask.contiguous()
        ctx.save_for_backward(expected, measured, mask)
        programs = len(expected), triton.cdiv(mask.numel(), BLOCK)
        sums = torch.empty(programs, device=expected.device)
        _summed[programs](expected, measured, mask, sums, mask.numel(), BLOCK)
        return sums.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        expected, measured, mask = ctx.saved_tensors
        found = torch.empty_like(expected)
        programs = len(expected), triton.cdiv(mask.numel(), BLOCK)
        _slope[programs](expected, measured, mask, slope, found, mask.numel(), BLOCK)
        return found, None, None


@triton.jit
def log1p(x):
    """Return log(1 + x), right to rounding also where x is small: what 1 + x loses is added to first order."""
    u = 1 + x
    return tl.log(u) + (x - (u - 1)) * tl.maximum(2 - u, 0.0)


@triton.jit
def _deviance(expected, measured):
    """Return 2 [n log(n / lambda) - (n - lambda)]."""
    known = tl.maximum(expected, _FLOOR)
    excess = tl.maximum((measured - known) / known, _LOWEST)
    return 2 * (measured * log1p(excess) - (measured - expected))


@triton.jit
def _pixels(mask, N_PIXELS: tl.constexpr, BLOCK: tl.constexpr):
    """Return where some pixels lie, which of them are there, and 1 for those that are trusted."""
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < N_PIXELS
    trusted = tl.load(mask + pixel, mask=inside, other=0).to(tl.float32)
    return tl.program_id(0).to(tl.int64) * N_PIXELS + pixel, inside, trusted


@triton.jit
def _summed(expected, measured, mask, sums, N_PIXELS: tl.constexpr, BLOCK: tl.constexpr):
    place, inside, trusted = _pixels(mask, N_PIXELS, BLOCK)
    there = tl.load(expected + place, mask=inside, other=1.0)
    counted = tl.load(measured + place, mask=inside, other=1.0)
    total = tl.sum(trusted * _deviance(there, counted))
    tl.store(sums + tl.program_id(0) * tl.num_programs(1) + tl.program_id(1), total)


@triton.jit
def _slope(expected, measured, mask, slope, found, N_PIXELS: tl.constexpr, BLOCK: tl.constexpr):
    place, inside, trusted = _pixels(mask, N_PIXELS, BLOCK)
    there = tl.load(expected + place, mask=inside, other=1.0)
    counted = tl.load(measured + place, mask=inside, other=1.0)
    share = tl.where(there < _FLOOR, 0.0, counted / tl.maximum(there, _FLOOR))
    tl.store(found + place, tl.load(slope) * trusted * 2 * (1 - share), mask=inside)
