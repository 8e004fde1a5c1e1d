"""Convolutions of few channels as kernels for a GPU, whose libraries are made for many.

A program reads rows of images one after the other. Of every row it takes a matrix, pixels times what lies beside them:
the channels of the pixel before, of this one and of the one behind follow each other in memory (a fourth makes their
number a power of two; nothing is read there). Multiplied by all nine places of the weight at once, it says what the row
adds to the row above, to itself and to the row below. The compiler that PyTorch brings along for GPUs makes the kernels
when they are first launched, and keeps them for programs to come.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.networks.convolution import Convolution, empty
from ptycho_torch.networks.gelu_kernels import gelu_of, gelu_slope_of
from ptycho_torch.networks.tiles import Launch, columns_of, pixels, split, sums_of_programs, values_beside

CONVOLVED = Launch(columns=64, warps=4, stages=4)
# Columns of 16 channels; of 32 half as many.
WEIGHT_SLOPE = Launch(columns=128, warps=4, stages=3)


class FewChannels(Convolution):
    """`Convolution` for a GPU, of powers of two of channels, at least 8; sums in single precision, in a fixed order."""

    def convolved(self, images: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None = None) -> Tensor:
        """Return images convolved with a weight, plus a bias, plus what is added."""
        found = empty(images, weight)
        _convolve(images, weight, bias, added=added, found=found)
        return found

    def activated(self, images: Tensor, weight: Tensor, bias: Tensor, *, kept: bool) -> tuple[Tensor | None, Tensor]:
        """Return images convolved with a weight, plus a bias, where that shall be kept, and its gelu."""
        found, active = empty(images, weight) if kept else None, empty(images, weight)
        _convolve(images, weight, bias, found=found, active=active)
        return found, active

    def image_slope(
        self, slope: Tensor, weight: Tensor, through: Tensor | None = None, added: Tensor | None = None
    ) -> Tensor:
        """Return the gradient with respect to the images, or to those whose gelu they are, plus what is added.

        The slope is convolved with the weight turned about.
        """
        turned = weight.flip(2, 3).transpose(0, 1)
        found = empty(slope, turned)
        _convolve(slope, turned, through=through, added=added, found=found)
        return found

    def weight_slope(self, slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients with respect to the weight and the bias."""
        batch, _, height, width = images.shape
        channels_out, channels, _, _ = weight.shape
        columns = 16 * WEIGHT_SLOPE.columns // max(channels, channels_out)
        blocks, rows = split(batch, height, width, columns)
        # Of every program, those of the weight as (x, channel, y, channel out), then those of the bias.
        sums = sums_of_programs(blocks, (9 * channels + 1) * channels_out, images.device)
        _weight_slope[(len(sums),)](
            *(pixels(images), pixels(slope), sums),
            *(math.prod(blocks), batch, height, width, channels, channels_out, columns, rows),
            num_warps=WEIGHT_SLOPE.warps,
            num_stages=WEIGHT_SLOPE.stages,
        )
        of_weight, of_bias = sums.sum(dim=0).split([9 * channels * channels_out, channels_out])
        of_weight = of_weight.view(3, channels, 3, channels_out).permute(3, 1, 2, 0)
        return torch.empty_like(weight).copy_(of_weight), of_bias.to(weight.dtype)


def _convolve(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    through: Tensor | None = None,
    added: Tensor | None = None,
    found: Tensor | None = None,
    active: Tensor | None = None,
) -> None:
    """Launch `_convolved`."""
    batch, _, height, width = images.shape
    channels_out, channels, _, _ = weight.shape
    # (x and channel, y and channel out)
    matrix = weight.permute(3, 1, 2, 0).to(images.dtype).contiguous()
    blocks, rows = split(batch, height, width, CONVOLVED.columns)
    _convolved[blocks](
        *(pixels(images), matrix, bias, pixels(through), pixels(added), found, active),
        *(batch, height, width, channels, channels_out, CONVOLVED.columns, rows),
        num_warps=CONVOLVED.warps,
        num_stages=CONVOLVED.stages,
    )


@triton.jit
def _thirds(product, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr):
    """Return three quarters of a matrix's columns, each a matrix; what a thread holds it keeps."""
    quarters = tl.permute(tl.reshape(product, [COLUMNS, 2, 2, CHANNELS]), [0, 3, 1, 2])
    even, odd = tl.split(quarters)
    first, third = tl.split(even)
    second, _ = tl.split(odd)
    return first, second, third


@triton.jit
def _convolved(
    images,
    matrix,
    bias,
    through,
    added,
    found,
    active,
    batch,
    height,
    width,
    CHANNELS: tl.constexpr,
    CHANNELS_OUT: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Convolve images, add a bias, multiply by the derivative of a gelu, add images; write that, and its gelu.

    What is None is left out.
    """
    pixel, x, inside = columns_of(tl.program_id(0), batch, height, width, COLUMNS)
    beside, there = values_beside(x, inside, width, CHANNELS)
    channel, value = tl.arange(0, CHANNELS_OUT), tl.arange(0, 4 * CHANNELS_OUT)
    seen_at = images + pixel[:, None] * CHANNELS + beside[None, :]
    place = pixel[:, None] * CHANNELS_OUT + channel[None, :]
    near = tl.arange(0, 4 * CHANNELS)
    weight_at = matrix + near[:, None] * (3 * CHANNELS_OUT) + value[None, :]
    real = (near < 3 * CHANNELS)[:, None] & (value < 3 * CHANNELS_OUT)[None, :]
    weight = tl.load(weight_at, mask=real, other=0.0)

    first = tl.program_id(1) * ROWS
    above = tl.zeros([COLUMNS, CHANNELS_OUT], tl.float32)
    here = tl.zeros([COLUMNS, CHANNELS_OUT], tl.float32)
    if bias is not None:
        constant = tl.load(bias + channel).to(tl.float32)[None, :]
    if through is not None:
        bent = tl.zeros([COLUMNS, CHANNELS_OUT], through.dtype.element_ty)
    if added is not None:
        more = tl.zeros([COLUMNS, CHANNELS_OUT], added.dtype.element_ty)
    for step in range(ROWS + 2):
        row = first - 1 + step
        seen = tl.load(seen_at + row * width * CHANNELS, mask=there & (row >= 0) & (row < height), other=0.0)
        down, along, up = _thirds(tl.dot(seen, weight), COLUMNS, CHANNELS_OUT)
        done = above + up
        if bias is not None:
            done += constant
        if through is not None:
            done *= gelu_slope_of(bent.to(tl.float32))
        if added is not None:
            done += more.to(tl.float32)
        at = place + (row - 1) * width * CHANNELS_OUT
        known = inside[:, None] & (row > first) & (row <= height)
        if found is not None:
            tl.store(found + at, done.to(found.dtype.element_ty), mask=known)
        if active is not None:
            tl.store(active + at, gelu_of(done).to(active.dtype.element_ty), mask=known)
        # For this row, which the next step completes: it is long on its way.
        at += width * CHANNELS_OUT
        known = inside[:, None] & (row >= first) & (row < height)
        if through is not None:
            bent = tl.load(through + at, mask=known, other=0.0)
        if added is not None:
            more = tl.load(added + at, mask=known, other=0.0)
        above = here + along
        here = down


@triton.jit(do_not_specialize=["blocks"])
def _weight_slope(
    images,
    slope,
    sums,
    blocks,
    batch,
    height,
    width,
    CHANNELS: tl.constexpr,
    CHANNELS_OUT: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    near, value = tl.arange(0, 4 * CHANNELS), tl.arange(0, 4 * CHANNELS_OUT)
    # Beside a row lie the slopes of the row below it, its own, and those of the row above.
    shift = 1 - value // CHANNELS_OUT
    total = tl.zeros([4 * CHANNELS, 4 * CHANNELS_OUT], tl.float32)
    channel = tl.arange(0, CHANNELS_OUT)
    total_of_bias = tl.zeros([COLUMNS, CHANNELS_OUT], tl.float32)
    parts = tl.cdiv(height, ROWS)
    block = tl.program_id(0)
    while block < blocks:
        pixel, x, inside = columns_of(block // parts, batch, height, width, COLUMNS)
        beside, there = values_beside(x, inside, width, CHANNELS)
        seen_at = images + pixel[:, None] * CHANNELS + beside[None, :]
        slopes_of = shift * width * CHANNELS_OUT + value % CHANNELS_OUT
        slopes_at = slope + pixel[:, None] * CHANNELS_OUT + slopes_of[None, :]
        own_at = slope + pixel[:, None] * CHANNELS_OUT + channel[None, :]
        first = block % parts * ROWS
        for step in range(ROWS):
            row = first + step
            seen = tl.load(seen_at + row * width * CHANNELS, mask=there & (row < height), other=0.0)
            of_row = row + shift
            known = inside[:, None] & ((shift > -2) & (of_row >= 0) & (of_row < height))[None, :]
            slopes = tl.load(slopes_at + row * width * CHANNELS_OUT, mask=known, other=0.0)
            own = tl.load(own_at + row * width * CHANNELS_OUT, mask=inside[:, None] & (row < height), other=0.0)
            total = tl.dot(tl.trans(seen), slopes, total)
            total_of_bias += own.to(tl.float32)
        block += tl.num_programs(0)

    sums_of_mine = sums + tl.program_id(0) * ((9 * CHANNELS + 1) * CHANNELS_OUT)
    real = (near < 3 * CHANNELS)[:, None] & (value < 3 * CHANNELS_OUT)[None, :]
    tl.store(sums_of_mine + near[:, None] * (3 * CHANNELS_OUT) + value[None, :], total, mask=real)
    tl.store(sums_of_mine + 9 * CHANNELS * CHANNELS_OUT + channel, tl.sum(total_of_bias, axis=0))
