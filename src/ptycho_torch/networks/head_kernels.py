"""Complex patches from the two real images that a network says of each, as kernels for a GPU."""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ptycho_torch.networks.heads import UNIT

# Pixels that a program of a kernel works on.
BLOCK = 512

_UNIT, _PI = tl.constexpr(UNIT), tl.constexpr(math.pi)


def patches_of(logits: Tensor) -> Tensor:
    """Return what `ptycho_torch.networks.heads.patches_of` returns."""
    return _Patches.apply(logits)


class _Patches(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        ctx.save_for_backward(logits)
        batch, twice, height, width = logits.shape
        found = torch.empty(batch, twice // 2, height, width, dtype=torch.complex64, device=logits.device)
        _patches[_programs(found)](logits, torch.view_as_real(found), *_lies(logits))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        found = torch.empty_like(logits)
        slope = torch.view_as_real(slope.resolve_conj().contiguous())
        _slope[_programs(slope[..., 0])](logits, slope, found, *_lies(logits), *found.stride())
        return found


def _programs(patches: Tensor) -> tuple[int, int]:
    batch, channels, height, width = patches.shape
    return batch * channels, triton.cdiv(height * width, BLOCK)


def _lies(logits: Tensor) -> tuple[int, ...]:
    """Return channels, sides and block, and how the axes are stored."""
    _, twice, height, width = logits.shape
    return twice // 2, height, width, BLOCK, *logits.stride()


@triton.jit
def _pixels(CHANNELS: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Return an image of the batch, a channel, and y, x of some pixels with which of them are there."""
    patch, pixel = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    image = (patch // CHANNELS).to(tl.int64)
    return image, patch % CHANNELS, pixel // WIDTH, pixel % WIDTH, pixel, pixel < HEIGHT * WIDTH


@triton.jit
def _amplitude(logit):
    """Return softplus(a + UNIT) and its slope."""
    x = logit + _UNIT
    small = tl.exp(-tl.abs(x))
    u = 1 + small
    # log(1 + small), right to rounding also where it is small (W. Kahan)
    rest = tl.where(u == 1, small, tl.log(u) * small / tl.where(u == 1, 1.0, u - 1))
    return tl.maximum(x, 0.0) + rest, tl.where(x > 0, 1 / u, small / u)


@triton.jit
def _patches(
    logits,
    found,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    by_image,
    by_channel,
    by_y,
    by_x,
):
    image, channel, y, x, pixel, inside = _pixels(CHANNELS, HEIGHT, WIDTH, BLOCK)
    seen = logits + image * by_image + channel * by_channel + y * by_y + x * by_x
    modulus, _ = _amplitude(tl.load(seen, mask=inside, other=0.0).to(tl.float32))
    phase = _PI * tl.load(seen + CHANNELS * by_channel, mask=inside, other=0.0).to(tl.float32)
    place = (tl.program_id(0).to(tl.int64) * HEIGHT * WIDTH + pixel)[:, None] * 2 + tl.arange(0, 2)[None, :]
    tl.store(found + place, tl.join(modulus * tl.cos(phase), modulus * tl.sin(phase)), mask=inside[:, None])


@triton.jit
def _slope(
    logits,
    slope,
    found,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    by_image,
    by_channel,
    by_y,
    by_x,
    of_image,
    of_channel,
    of_y,
    of_x,
):
    image, channel, y, x, pixel, inside = _pixels(CHANNELS, HEIGHT, WIDTH, BLOCK)
    seen = logits + image * by_image + channel * by_channel + y * by_y + x * by_x
    modulus, steepness = _amplitude(tl.load(seen, mask=inside, other=0.0).to(tl.float32))
    phase = _PI * tl.load(seen + CHANNELS * by_channel, mask=inside, other=0.0).to(tl.float32)
    place = (tl.program_id(0).to(tl.int64) * HEIGHT * WIDTH + pixel)[:, None] * 2 + tl.arange(0, 2)[None, :]
    real, imaginary = tl.split(tl.load(slope + place, mask=inside[:, None], other=0.0))
    cosine, sine = tl.cos(phase), tl.sin(phase)
    of_modulus = steepness * (cosine * real + sine * imaginary)
    of_phase = _PI * modulus * (cosine * imaginary - sine * real)
    target = found + image * of_image + channel * of_channel + y * of_y + x * of_x
    tl.store(target, of_modulus.to(found.dtype.element_ty), mask=inside)
    tl.store(target + CHANNELS * of_channel, of_phase.to(found.dtype.element_ty), mask=inside)
