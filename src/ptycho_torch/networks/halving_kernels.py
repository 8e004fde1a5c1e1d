"""Convolutions of few channels at every second pixel as kernels for a GPU, whose libraries are made for many.

As in `few_channels` a program reads rows one after the other, as matrices of pixels times the channels of their
neighbours, and what a row adds to another than its own waits in registers for the next. An image has two rows for each
of its half: the even one belongs to that row alone, the odd one to the next as well.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.networks.convolution import HalvingConvolution, empty_half, empty_twice
from ptycho_torch.networks.tiles import Launch, columns_of, pixels, split, sums_of_programs, values_beside

HALVED = Launch(columns=64, warps=4, stages=3)
IMAGE_SLOPE = Launch(columns=64, warps=4, stages=4)
WEIGHT_SLOPE = Launch(columns=64, warps=4, stages=3)


class HalvingFewChannels(HalvingConvolution):
    """`HalvingConvolution` for a GPU, of powers of two of channels, at least 8; sums as in `FewChannels`."""

    def halved(self, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return images convolved with a weight, plus a bias, at every second pixel of every second row."""
        found = empty_half(images, weight)
        channels_out, channels, _, _ = weight.shape
        # (y, x and channel, channel out)
        matrices = weight.permute(2, 3, 1, 0).to(images.dtype).contiguous()
        blocks, rows = split(*_sizes(found), HALVED.columns)
        _halved[blocks](
            *(pixels(images), matrices, bias, found),
            *(*_sizes(found), channels, channels_out, HALVED.columns, rows),
            num_warps=HALVED.warps,
            num_stages=HALVED.stages,
        )
        return found

    def image_slope(self, slope: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient with respect to the images."""
        found = empty_twice(slope, weight)
        channels_out, channels, _, _ = weight.shape
        # (y, x, channel out, channel)
        matrices = weight.permute(2, 3, 0, 1).to(slope.dtype).contiguous()
        blocks, rows = split(*_sizes(slope), IMAGE_SLOPE.columns)
        _image_slope[blocks](
            *(pixels(slope), matrices, found),
            *(*_sizes(slope), channels, channels_out, IMAGE_SLOPE.columns, rows),
            num_warps=IMAGE_SLOPE.warps,
            num_stages=IMAGE_SLOPE.stages,
        )
        return found

    def weight_slope(self, slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients with respect to the weight and the bias."""
        channels_out, channels, _, _ = weight.shape
        blocks, rows = split(*_sizes(slope), WEIGHT_SLOPE.columns)
        # Of every program, those of the weight as (y, x, channel, channel out), then those of the bias.
        sums = sums_of_programs(blocks, (9 * channels + 1) * channels_out, images.device)
        _weight_slope[(len(sums),)](
            *(pixels(images), pixels(slope), sums),
            *(math.prod(blocks), *_sizes(slope), channels, channels_out, WEIGHT_SLOPE.columns, rows),
            num_warps=WEIGHT_SLOPE.warps,
            num_stages=WEIGHT_SLOPE.stages,
        )
        of_weight, of_bias = sums.sum(dim=0).split([9 * channels * channels_out, channels_out])
        of_weight = of_weight.view(3, 3, channels, channels_out).permute(3, 2, 0, 1)
        return torch.empty_like(weight).copy_(of_weight), of_bias.to(weight.dtype)


def _sizes(half: Tensor) -> tuple[int, int, int]:
    """Return batch, height and width of images of half the sides."""
    batch, _, height, width = half.shape
    return batch, height, width


@triton.jit
def _seen(images, block, batch, height, width, CHANNELS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return columns of half an image, which are in one, where values beside them lie in its row 0, and which do."""
    pixel, x, inside = columns_of(block, batch, height, width, COLUMNS)
    beside, there = values_beside(2 * x, inside, 2 * width, CHANNELS)
    return pixel, inside, images + (4 * pixel - 2 * x)[:, None] * CHANNELS + beside[None, :], there


@triton.jit
def _halved(
    images,
    matrices,
    bias,
    found,
    batch,
    height,
    width,
    CHANNELS: tl.constexpr,
    CHANNELS_OUT: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Convolve images of twice the sides, and add a bias."""
    pixel, inside, seen_at, there = _seen(images, tl.program_id(0), batch, height, width, CHANNELS, COLUMNS)
    near, channel = tl.arange(0, 4 * CHANNELS), tl.arange(0, CHANNELS_OUT)
    weight_at = matrices + near[:, None] * CHANNELS_OUT + channel[None, :]
    real = (near < 3 * CHANNELS)[:, None] & (channel < CHANNELS_OUT)[None, :]
    before = tl.load(weight_at, mask=real, other=0.0)
    own = tl.load(weight_at + 3 * CHANNELS * CHANNELS_OUT, mask=real, other=0.0)
    behind = tl.load(weight_at + 6 * CHANNELS * CHANNELS_OUT, mask=real, other=0.0)
    constant = tl.load(bias + channel).to(tl.float32)[None, :]

    first = tl.program_id(1) * ROWS
    place = pixel[:, None] * CHANNELS_OUT + channel[None, :]
    stride = 2 * width * CHANNELS
    above = tl.zeros([COLUMNS, CHANNELS_OUT], tl.float32)
    # The first step sees the odd row above the first row.
    for step in range(ROWS + 1):
        row = first - 1 + step
        even_at = seen_at + 2 * row * stride
        even = tl.load(even_at, mask=there & (row >= first) & (row < height), other=0.0)
        odd = tl.load(even_at + stride, mask=there & (row >= 0) & (row < height), other=0.0)
        done = tl.dot(odd, behind, tl.dot(even, own, above)) + constant
        known = inside[:, None] & (row >= first) & (row < height)
        tl.store(found + place + row * width * CHANNELS_OUT, done.to(found.dtype.element_ty), mask=known)
        above = tl.dot(odd, before)


@triton.jit
def _image_slope(
    slope,
    matrices,
    found,
    batch,
    height,
    width,
    CHANNELS: tl.constexpr,
    CHANNELS_OUT: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Gather at two pixels of twice the sides, an even and an odd one, the slopes of the pixels at and behind them."""
    pixel, x, inside = columns_of(tl.program_id(0), batch, height, width, COLUMNS)
    near, value = tl.arange(0, 2 * CHANNELS_OUT), tl.arange(0, 2 * CHANNELS)
    shift, odd = near // CHANNELS_OUT, value // CHANNELS
    # The place of the weight that leads from an even or odd pixel to the pixel of half the sides at it or behind it.
    across = 1 + odd[None, :] - 2 * shift[:, None]
    channels_at = near[:, None] % CHANNELS_OUT * CHANNELS + value[None, :] % CHANNELS
    weight_at = matrices + across * (CHANNELS * CHANNELS_OUT) + channels_at
    before = tl.load(weight_at, mask=across >= 0, other=0.0)
    own = tl.load(weight_at + 3 * CHANNELS * CHANNELS_OUT, mask=across >= 0, other=0.0)
    behind = tl.load(weight_at + 6 * CHANNELS * CHANNELS_OUT, mask=across >= 0, other=0.0)

    first = tl.program_id(1) * ROWS
    slopes_at = slope + pixel[:, None] * CHANNELS_OUT + near[None, :]
    there = inside[:, None] & (x[:, None] + shift[None, :] < width)
    place = found + (4 * pixel - 2 * x)[:, None] * CHANNELS + value[None, :]
    stride = 2 * width * CHANNELS
    above = tl.zeros([COLUMNS, 2 * CHANNELS], tl.float32)
    # The last step completes the odd row above it alone.
    for step in range(ROWS + 1):
        row = first + step
        slopes = tl.load(slopes_at + row * width * CHANNELS_OUT, mask=there & (row < height), other=0.0)
        at = place + 2 * row * stride
        odd_row = tl.dot(slopes, before, above).to(found.dtype.element_ty)
        tl.store(at - stride, odd_row, mask=inside[:, None] & (row > first) & (row <= height))
        even_row = tl.dot(slopes, own).to(found.dtype.element_ty)
        tl.store(at, even_row, mask=inside[:, None] & (row < first + ROWS) & (row < height))
        above = tl.dot(slopes, behind)


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
    near, channel = tl.arange(0, 4 * CHANNELS), tl.arange(0, CHANNELS_OUT)
    of_before = tl.zeros([4 * CHANNELS, CHANNELS_OUT], tl.float32)
    of_own = tl.zeros([4 * CHANNELS, CHANNELS_OUT], tl.float32)
    of_behind = tl.zeros([4 * CHANNELS, CHANNELS_OUT], tl.float32)
    of_bias = tl.zeros([COLUMNS, CHANNELS_OUT], tl.float32)
    stride = 2 * width * CHANNELS
    parts = tl.cdiv(height, ROWS)
    block = tl.program_id(0)
    while block < blocks:
        pixel, inside, seen_at, there = _seen(images, block // parts, batch, height, width, CHANNELS, COLUMNS)
        slopes_at = slope + pixel[:, None] * CHANNELS_OUT + channel[None, :]
        first = block % parts * ROWS
        for step in range(ROWS):
            row = first + step
            known = row < height
            own_at = seen_at + 2 * row * stride
            before = tl.load(own_at - stride, mask=there & known & (row > 0), other=0.0)
            own = tl.load(own_at, mask=there & known, other=0.0)
            behind = tl.load(own_at + stride, mask=there & known, other=0.0)
            slopes = tl.load(slopes_at + row * width * CHANNELS_OUT, mask=inside[:, None] & known, other=0.0)
            of_before = tl.dot(tl.trans(before), slopes, of_before)
            of_own = tl.dot(tl.trans(own), slopes, of_own)
            of_behind = tl.dot(tl.trans(behind), slopes, of_behind)
            of_bias += slopes.to(tl.float32)
        block += tl.num_programs(0)

    sums_of_mine = sums + tl.program_id(0) * ((9 * CHANNELS + 1) * CHANNELS_OUT)
    at = sums_of_mine + near[:, None] * CHANNELS_OUT + channel[None, :]
    real = (near < 3 * CHANNELS)[:, None] & (channel < CHANNELS_OUT)[None, :]
    tl.store(at, of_before, mask=real)
    tl.store(at + 3 * CHANNELS * CHANNELS_OUT, of_own, mask=real)
    tl.store(at + 6 * CHANNELS * CHANNELS_OUT, of_behind, mask=real)
    tl.store(sums_of_mine + 9 * CHANNELS * CHANNELS_OUT + channel, tl.sum(of_bias, axis=0))
