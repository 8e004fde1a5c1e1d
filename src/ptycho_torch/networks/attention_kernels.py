"""Attention of few places as kernels for a GPU, whose libraries are made for many.

A program holds all that one head says of one image: scores of every place with every other are one matrix, of which
nothing is kept. The gradient makes them anew.
"""

import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.networks.attention import Attention

# Warps of a program.
WARPS = 4


class FewPlaces(Attention):
    """`Attention` for a GPU, of heads whose widths are powers of two, at least 16; sums in single precision."""

    def attended(self, parts: Tensor) -> Tensor:
        """Return what all heads say of every place."""
        parts = parts.contiguous()
        batch, places, _, heads, width = parts.shape
        found = parts.new_empty(batch, places, heads * width)
        _attended[batch, heads](parts, found, width**-0.5, *_sizes(parts), num_warps=WARPS)
        return found

    def slope(self, slope: Tensor, parts: Tensor) -> Tensor:
        """Return the gradient with respect to queries, keys and values."""
        parts, slope = parts.contiguous(), slope.contiguous()
        found = parts.new_empty(parts.shape)
        _slope[len(parts), parts.shape[3]](
            parts, slope, found, parts.shape[-1] ** -0.5, *_sizes(parts), num_warps=WARPS
        )
        return found


def _sizes(parts: Tensor) -> tuple[int, int, int, int]:
    """Return places, heads, the width of a head, and how many places a matrix has room for."""
    _, places, _, heads, width = parts.shape
    return places, heads, width, max(16, triton.next_power_of_2(places))


@triton.jit
def _where(WHICH: tl.constexpr, PLACES: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr, ROOM: tl.constexpr):
    """Return where queries (0), keys (1) or values (2) of this program lie."""
    place, value = tl.arange(0, ROOM), tl.arange(0, WIDTH)
    image, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row = image * PLACES + place[:, None]
    return (row * 3 + WHICH) * HEADS * WIDTH + head * WIDTH + value[None, :]


@triton.jit
def _together(PLACES: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr, ROOM: tl.constexpr):
    """Return where lies what this program says, and which places there are."""
    place, value = tl.arange(0, ROOM), tl.arange(0, WIDTH)
    image, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    return ((image * PLACES + place[:, None]) * HEADS + head) * WIDTH + value[None, :], (place < PLACES)[:, None]


@triton.jit
def _shares(query, key, scale, PLACES: tl.constexpr, ROOM: tl.constexpr):
    """Return the softmax of scores over the places that there are."""
    scores = scale * tl.dot(query, tl.trans(key))
    scores = tl.where((tl.arange(0, ROOM) < PLACES)[None, :], scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    return powers / tl.sum(powers, axis=1)[:, None]


@triton.jit
def _attended(parts, found, scale, PLACES: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr, ROOM: tl.constexpr):
    target, there = _together(PLACES, HEADS, WIDTH, ROOM)
    query = tl.load(parts + _where(0, PLACES, HEADS, WIDTH, ROOM), mask=there, other=0.0)
    key = tl.load(parts + _where(1, PLACES, HEADS, WIDTH, ROOM), mask=there, other=0.0)
    value = tl.load(parts + _where(2, PLACES, HEADS, WIDTH, ROOM), mask=there, other=0.0)
    shares = _shares(query, key, scale, PLACES, ROOM).to(value.dtype)
    tl.store(found + target, tl.dot(shares, value).to(found.dtype.element_ty), mask=there)


@triton.jit
def _slope(
    parts, slope, found, scale, PLACES: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr, ROOM: tl.constexpr
):
    target, there = _together(PLACES, HEADS, WIDTH, ROOM)
    query = tl.load(parts + _where(0, PLACES, HEADS, WIDTH, ROOM), mask=there, other=0.0)
    key = tl.load(parts + _where(1, PLACES, HEADS, WIDTH, ROOM), mask=there, other=0.0)
    value = tl.load(parts + _where(2, PLACES, HEADS, WIDTH, ROOM), mask=there, other=0.0)
    leads = tl.load(slope + target, mask=there, other=0.0)
    shares = _shares(query, key, scale, PLACES, ROOM)
    kind = found.dtype.element_ty
    of_value = tl.dot(tl.trans(shares.to(kind)), leads)
    tl.store(found + _where(2, PLACES, HEADS, WIDTH, ROOM), of_value.to(kind), mask=there)
    of_shares = tl.dot(leads, tl.trans(value))
    mean = tl.sum(shares * of_shares, axis=1)[:, None]
    of_scores = (scale * shares * (of_shares - mean)).to(kind)
    tl.store(found + _where(0, PLACES, HEADS, WIDTH, ROOM), tl.dot(of_scores, key).to(kind), mask=there)
    of_key = tl.dot(tl.trans(of_scores), query)
    tl.store(found + _where(1, PLACES, HEADS, WIDTH, ROOM), of_key.to(kind), mask=there)
