"""Complex patches from the two real images that a network says of each, as kernels for a GPU.

A network says the 2 x 2 pixels of a square as four channels, as `torch.nn.functional.pixel_shuffle` takes them apart.
"""

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


def patches_of(squares: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return what `ptycho_torch.networks.heads.patches_of` returns; weights have no gradient."""
    return _Patches.apply(squares, weight)


class _Patches(Function):
    @staticmethod
    def forward(ctx: Any, squares: Tensor, weight: Tensor | None) -> Tensor:
        weight = None if weight is None else weight.contiguous()
        ctx.save_for_backward(squares, weight)
        batch, channels, height, width = squares.shape
        size = batch, channels // 8, 2 * height, 2 * width
        found = torch.empty(size, dtype=torch.complex64, device=squares.device)
        _patches[_programs(found)](squares, weight, torch.view_as_real(found), *_lies(squares, weight))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        squares, weight = ctx.saved_tensors
        found = torch.empty_like(squares)
        slope = torch.view_as_real(slope.resolve_conj().contiguous())
        _slope[_programs(slope[..., 0])](squares, weight, slope, found, *_lies(squares, weight), *found.stride())
        return found, None


def _programs(patches: Tensor) -> tuple[int, int]:
    batch, channels, height, width = patches.shape
    return batch * channels, triton.cdiv(height * width, BLOCK)


def _lies(squares: Tensor, weight: Tensor | None) -> tuple[int, ...]:
    """Return channels and sides, whether each patch has its own weight, the block, and how squares are stored."""
    _, channels, height, width = squares.shape
    own = weight is not None and weight.ndim == 3
    return channels // 8, 2 * height, 2 * width, own, BLOCK, *squares.stride()


@triton.jit
def _pixels(CHANNELS: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Return an image, channel, y and x of some pixels among squares, which of them there are, and where in patches."""
    patch, pixel = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    y, x = pixel // WIDTH, pixel % WIDTH
    channel = 4 * (patch % CHANNELS) + 2 * (y % 2) + x % 2
    place = (patch.to(tl.int64) * HEIGHT * WIDTH + pixel)[:, None] * 2 + tl.arange(0, 2)[None, :]
    return (patch // CHANNELS).to(tl.int64), channel, y // 2, x // 2, pixel < HEIGHT * WIDTH, place


@triton.jit
def _amplitude(logit):
    """Return softplus(a + UNIT) and its slope."""
    x = logit + _UNIT
    small = tl.exp(-tl.abs(x))
    u = 1 + small
    # log(1 + small): what 1 + small loses is added to first order.
    rest = tl.log(u) + (small - (u - 1)) * (2 - u)
    return tl.maximum(x, 0.0) + rest, tl.where(x > 0, 1.0, small) / u


@triton.jit
def _light(weight, inside, N_PIXELS: tl.constexpr, OWN: tl.constexpr, BLOCK: tl.constexpr):
    """Return the weights of the pixels of this program."""
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    own = tl.program_id(0).to(tl.int64) * N_PIXELS if OWN else 0
    return tl.load(weight + own + pixel, mask=inside, other=0.0)


@triton.jit
def _patches(
    squares,
    weight,
    found,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OWN: tl.constexpr,
    BLOCK: tl.constexpr,
    by_image,
    by_channel,
    by_y,
    by_x,
):
    image, channel, y, x, inside, place = _pixels(CHANNELS, HEIGHT, WIDTH, BLOCK)
    seen = squares + image * by_image + channel * by_channel + y * by_y + x * by_x
    modulus, _ = _amplitude(tl.load(seen, mask=inside, other=0.0).to(tl.float32))
    if weight is not None:
        modulus *= _light(weight, inside, HEIGHT * WIDTH, OWN, BLOCK)
    phase = _PI * tl.load(seen + 4 * CHANNELS * by_channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(found + place, tl.join(modulus * tl.cos(phase), modulus * tl.sin(phase)), mask=inside[:, None])


@triton.jit
def _slope(
    squares,
    weight,
    slope,
    found,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OWN: tl.constexpr,
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
    image, channel, y, x, inside, place = _pixels(CHANNELS, HEIGHT, WIDTH, BLOCK)
    seen = squares + image * by_image + channel * by_channel + y * by_y + x * by_x
    modulus, steepness = _amplitude(tl.load(seen, mask=inside, other=0.0).to(tl.float32))
    if weight is not None:
        light = _light(weight, inside, HEIGHT * WIDTH, OWN, BLOCK)
        modulus *= light
        steepness *= light
    phase = _PI * tl.load(seen + 4 * CHANNELS * by_channel, mask=inside, other=0.0).to(tl.float32)
    real, imaginary = tl.split(tl.load(slope + place, mask=inside[:, None], other=0.0))
    cosine, sine = tl.cos(phase), tl.sin(phase)
    of_modulus = steepness * (cosine * real + sine * imaginary)
    of_phase = _PI * modulus * (cosine * imaginary - sine * real)
    target = found + image * of_image + channel * of_channel + y * of_y + x * of_x
    tl.store(target, of_modulus.to(found.dtype.element_ty), mask=inside)
    tl.store(target + 4 * CHANNELS * of_channel, of_phase.to(found.dtype.element_ty), mask=inside)
