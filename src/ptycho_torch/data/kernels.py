"""Counts of patterns by their numbers, as one kernel for a GPU."""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Pixels that a program of a kernel works on.
BLOCK = 1024


def counts(patterns: Tensor, indices: Tensor, mask: Tensor, count_scale: float | None) -> Tensor:
    """Return patterns (patch, y, x) in counts, as `ptycho_torch.data.scan.Scan.counts` has them."""
    height, width = mask.shape
    found = torch.empty(len(indices), height, width, device=patterns.device)
    _counts[len(indices), triton.cdiv(height * width, BLOCK)](
        *(
            patterns,
            indices.contiguous(),
            mask.contiguous(),
            found,
            1.0 if count_scale is None else count_scale,
            *patterns.stride(),
        ),
        *(height * width, width, count_scale is not None, BLOCK),
    )
    return found


@triton.jit
def _counts(
    patterns,
    indices,
    mask,
    found,
    scale,
    by_pattern,
    by_y,
    by_x,
    N_PIXELS: tl.constexpr,
    WIDTH: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    patch, pixel = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < N_PIXELS
    y, x = (pixel // WIDTH).to(tl.int64), (pixel % WIDTH).to(tl.int64)
    seen = patterns + tl.load(indices + patch) * by_pattern + y * by_y + x * by_x
    value = tl.load(seen, mask=inside, other=0).to(tl.float32)
    if SCALED:
        value = scale * value
        value = value * value
    trusted = tl.load(mask + pixel, mask=inside, other=0) != 0
    tl.store(found + patch * N_PIXELS + pixel, tl.where(trusted, value, 0.0), mask=inside)
