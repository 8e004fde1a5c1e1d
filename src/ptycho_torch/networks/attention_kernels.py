"""Attention of few places as kernels for a GPU, whose libraries are made for many.

A program does all that one head says of one image. Keys and values stay; queries come in turns, and of their scores
nothing is kept: the gradient makes them anew.
"""

import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.networks.attention import Attention

# Queries that are asked together, and places up to which four warps hold what a gradient needs.
TURN, OF_FOUR_WARPS = 64, 64


class FewPlaces(Attention):
    """`Attention` for a GPU, of heads whose widths are powers of two, at least 16; sums in single precision."""

    def attended(self, parts: Tensor) -> Tensor:
        """Return what all heads say of every place."""
        parts = parts.contiguous()
        batch, places, _, heads, width = parts.shape
        found = parts.new_empty(batch, places, heads * width)
        _attended[batch, heads](parts, found, width**-0.5, **_sizes(parts))
        return found

    def slope(self, slope: Tensor, parts: Tensor) -> Tensor:
        """Return the gradient with respect to queries, keys and values."""
        parts, slope = parts.contiguous(), slope.contiguous()
        found = parts.new_empty(parts.shape)
        batch, places, _, heads, width = parts.shape
        warps = 4 if places <= OF_FOUR_WARPS else 8
        _slope[batch, heads](parts, slope, found, width**-0.5, **_sizes(parts), num_warps=warps)
        return found


def _sizes(parts: Tensor) -> dict[str, int]:
    """Return places, heads, the width of a head, and for how many places and queries matrices have room."""
    _, places, _, heads, width = parts.shape
    room = max(16, triton.next_power_of_2(places))
    return {"PLACES": places, "HEADS": heads, "WIDTH": width, "ROOM": room, "TURN": min(TURN, room)}


@triton.jit
def _place(start, ROOM: tl.constexpr, PLACES: tl.constexpr):
    """Return some places of this program's image, one below the other, and which of them there are."""
    place = start + tl.arange(0, ROOM)[:, None]
    return tl.program_id(0).to(tl.int64) * PLACES + place, place < PLACES


@triton.jit
def _where(row, WHICH: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr):
    """Return where queries (0), keys (1) or values (2) of this program's head lie."""
    return ((row * 3 + WHICH) * HEADS + tl.program_id(1)) * WIDTH + tl.arange(0, WIDTH)[None, :]


@triton.jit
def _together(row, HEADS: tl.constexpr, WIDTH: tl.constexpr):
    """Return where lies what this program's head says."""
    return (row * HEADS + tl.program_id(1)) * WIDTH + tl.arange(0, WIDTH)[None, :]


@triton.jit
def _shares(query, key, scale, PLACES: tl.constexpr, ROOM: tl.constexpr):
    """Return the softmax of scores over the places that there are."""
    scores = scale * tl.dot(query, tl.trans(key))
    scores = tl.where((tl.arange(0, ROOM) < PLACES)[None, :], scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    return powers / tl.sum(powers, axis=1)[:, None]


@triton.jit
def _attended(
    parts,
    found,
    scale,
    PLACES: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROOM: tl.constexpr,
    TURN: tl.constexpr,
):
    all_rows, all_there = _place(0, ROOM, PLACES)
    key = tl.load(parts + _where(all_rows, 1, HEADS, WIDTH), mask=all_there, other=0.0)
    value = tl.load(parts + _where(all_rows, 2, HEADS, WIDTH), mask=all_there, other=0.0)
    for turn in range(ROOM // TURN):
        row, there = _place(turn * TURN, TURN, PLACES)
        query = tl.load(parts + _where(row, 0, HEADS, WIDTH), mask=there, other=0.0)
        shares = _shares(query, key, scale, PLACES, ROOM).to(value.dtype)
        said = tl.dot(shares, value).to(found.dtype.element_ty)
        tl.store(found + _together(row, HEADS, WIDTH), said, mask=there)


@triton.jit
def _slope(
    parts,
    slope,
    found,
    scale,
    PLACES: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROOM: tl.constexpr,
    TURN: tl.constexpr,
):
    all_rows, all_there = _place(0, ROOM, PLACES)
    key = tl.load(parts + _where(all_rows, 1, HEADS, WIDTH), mask=all_there, other=0.0)
    value = tl.load(parts + _where(all_rows, 2, HEADS, WIDTH), mask=all_there, other=0.0)
    of_key, of_value = tl.zeros([ROOM, WIDTH], tl.float32), tl.zeros([ROOM, WIDTH], tl.float32)
    kind = found.dtype.element_ty
    for turn in range(ROOM // TURN):
        row, there = _place(turn * TURN, TURN, PLACES)
        query = tl.load(parts + _where(row, 0, HEADS, WIDTH), mask=there, other=0.0)
        leads = tl.load(slope + _together(row, HEADS, WIDTH), mask=there, other=0.0)
        shares = _shares(query, key, scale, PLACES, ROOM)
        of_value = tl.dot(tl.trans(shares.to(kind)), leads, of_value)
        of_shares = tl.dot(leads, tl.trans(value))
        mean = tl.sum(shares * of_shares, axis=1)[:, None]
        of_scores = (scale * shares * (of_shares - mean)).to(kind)
        tl.store(found + _where(row, 0, HEADS, WIDTH), tl.dot(of_scores, key).to(kind), mask=there)
        of_key = tl.dot(tl.trans(of_scores), query, of_key)
    tl.store(found + _where(all_rows, 1, HEADS, WIDTH), of_key.to(kind), mask=all_there)
    tl.store(found + _where(all_rows, 2, HEADS, WIDTH), of_value.to(kind), mask=all_there)
