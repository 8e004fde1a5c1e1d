"""What kernels of convolutions read and how their work is split: rows of images, one after the other in a program."""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


class Launch(NamedTuple):
    """How a kernel is launched: columns of pixels in a program, its warps, and loads ahead."""

    columns: int
    warps: int
    stages: int


# Programs that share the sums over pixels: as many on every GPU, so that all round alike.
PROGRAMS = 264


def split(batch: int, height: int, width: int, columns: int) -> tuple[tuple[int, int], int]:
    """Return the numbers of blocks across the columns of all images and down their rows, and the rows of a block.

    Long blocks read few rows twice. Where there would be too few of them for a GPU they are short.
    """
    across = triton.cdiv(batch * width, columns)
    rows = 16 if across * triton.cdiv(height, 16) >= PROGRAMS else 4
    return (across, triton.cdiv(height, rows)), rows


def sums_of_programs(blocks: tuple[int, int], length: int, device: torch.device) -> Tensor:
    """Return room for sums (program, number) over blocks, of which a program takes one after the other."""
    across, down = blocks
    return torch.empty((min(across * down, PROGRAMS), length), device=device)


def pixels(images: Tensor | None) -> Tensor | None:
    """Return images, if there are any, as kernels read them: the channels of a pixel side by side."""
    return None if images is None else images.contiguous(memory_format=torch.channels_last)


@triton.jit
def columns_of(block, batch, height, width, COLUMNS: tl.constexpr):
    """Return the first pixels of columns, their x, and which of them are in an image."""
    column = block * COLUMNS + tl.arange(0, COLUMNS)
    image, x = column // width, column % width
    return image.to(tl.int64) * height * width + x, x, column < batch * width


@triton.jit
def values_beside(x, inside, width, CHANNELS: tl.constexpr):
    """Return where values of three pixels lie, seen from the middle one, and which of them are there."""
    value = tl.arange(0, 4 * CHANNELS)
    shift = value // CHANNELS - 1
    neighbour = x[:, None] + shift[None, :]
    there = inside[:, None] & (shift < 2)[None, :] & (neighbour >= 0) & (neighbour < width)
    return value - CHANNELS, there
