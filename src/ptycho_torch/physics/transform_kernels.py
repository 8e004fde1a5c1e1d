"""Fourier transforms of many squares, as kernels for a GPU.

A line of N = 16 R numbers is transformed in two stages (DOI 10.1090/S0025-5718-1965-0178586-1),

    X[f + R g] = sum_j exp(-2 pi i j g / 16) exp(-2 pi i j f / N) sum_k exp(-2 pi i k f / R) x[16 k + j],

the sum over k and then that over j within a thread: in between threads exchange numbers once. A program transforms all
columns of a square and then all rows; what it writes for itself stays in the cache. Library transforms of such sizes
take longer, and know nothing of what is done before and after.

What is given of lines are R tensors k of all j, what is found 16 tensors g of all f, real parts and imaginary parts
apart. The last axis of a tensor is along x: numbers of a column are along the first axis, FIRST, those of a row along
the last.
"""

import functools
import math
from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float32
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ptycho_torch.physics.transforms import SIDES, by_library

# Lines of a square that a program transforms at once, two numbers a thread.
LINES = 32
# Registers of a thread, of which a GPU has so many that several programs work on each of its parts.
REGISTERS = 80

# exp(2 pi i k / 16) for k < 8.
_COSINES = tl.constexpr(tuple(math.cos(math.pi * k / 8) for k in range(8)))
_SINES = tl.constexpr(tuple(math.sin(math.pi * k / 8) for k in range(8)))


def by_kernels(x: Complex[Tensor, "*batch y x"], *, back: bool = False) -> Complex[Tensor, "*batch y x"]:
    """Return the discrete Fourier transform of squares with one of the SIDES, or its adjoint: nothing is divided."""
    return _Transformed.apply(x, back)


@functools.cache
def turns(size: int, device: torch.device) -> Float32[Tensor, "2 turn"]:
    """Return cosines and sines of 2 pi n / size."""
    turn = 2 * torch.pi * torch.arange(size, dtype=torch.float64) / size
    return torch.stack([turn.cos(), turn.sin()]).to(device, torch.float32)


def how(size: int) -> dict[str, int]:
    """Return how kernels of squares with a side are launched."""
    return {"R": size // 16, "LINES": LINES, "num_warps": size // 16}


class _Transformed(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, back: bool) -> Tensor:
        ctx.back = back
        return _transformed_by(x, back=back)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return _transformed_by(slope, back=not ctx.back), None


def _transformed_by(x: Tensor, *, back: bool) -> Tensor:
    size = x.shape[-1]
    squares = x.numel() // size**2
    if squares < SIDES[size]:
        return by_library(x, back=back)
    found = torch.empty_like(x, memory_format=torch.contiguous_format)
    _transformed[(squares,)](
        *(parts(x), parts(found), turns(size, x.device), -1.0 if back else 1.0), **how(size), maxnreg=REGISTERS
    )
    return found


def parts(fields: Tensor) -> Tensor:
    """Return fields as kernels read them: real and imaginary parts, row after row."""
    return torch.view_as_real(fields.resolve_conj().contiguous())


@triton.jit
def places(begin, N: tl.constexpr):
    """Return where N complex numbers lie that follow each other, from the beginning of every row."""
    return 2 * begin[:, None] + tl.arange(0, 2 * N)[None, :]


@triton.jit
def given(pointer, place, APART, N: tl.constexpr):
    """Return N tensors of complex numbers, the places of each APART from those before: real and imaginary parts."""
    re = ()
    im = ()
    for k in tl.static_range(N):
        real, imaginary = load(pointer + 2 * k * APART, place)
        re = re + (real,)
        im = im + (imaginary,)
    return re, im


@triton.jit
def load(pointer, place):
    """Return real and imaginary parts of rows of complex numbers."""
    return tl.split(tl.reshape(tl.load(pointer + place), [place.shape[0], place.shape[1] // 2, 2]))


@triton.jit
def together(real, imaginary):
    """Return rows of complex numbers as they lie in memory."""
    return tl.reshape(tl.join(real, imaginary), [real.shape[0], 2 * real.shape[1]])


@triton.jit
def store(pointer, place, real, imaginary):
    """Write rows of complex numbers."""
    tl.store(pointer + place, together(real, imaginary))


@triton.jit
def _few(re, im, N: tl.constexpr, LEVELS: tl.constexpr, BACK: tl.constexpr):
    """Return the transform of N = 2^LEVELS numbers, each a tensor."""
    for level in tl.static_range(LEVELS):
        re, im = _doubled(re, im, 2**level, N // 2**level, BACK)
    return re, im


@triton.jit
def _doubled(re, im, DONE: tl.constexpr, APART: tl.constexpr, BACK: tl.constexpr):
    """Return transforms of twice as many numbers each: that of numbers APART from each other, and of those between."""
    a = ()
    b = ()
    c = ()
    d = ()
    for k in tl.static_range(DONE):
        for p in tl.static_range(APART // 2):
            real = re[k * APART + p + APART // 2]
            imaginary = im[k * APART + p + APART // 2]
            if k > 0:
                real, imaginary = _turned(real, imaginary, _COSINES[k * 8 // DONE], _SINES[k * 8 // DONE], BACK)
            a = a + (re[k * APART + p] + real,)
            b = b + (im[k * APART + p] + imaginary,)
            c = c + (re[k * APART + p] - real,)
            d = d + (im[k * APART + p] - imaginary,)
    return a + c, b + d


@triton.jit
def _turned(real, imaginary, cosine, sine, BACK: tl.constexpr):
    """Return complex numbers times cosine - i sine, or the conjugate of that."""
    if BACK:
        sine = -sine
    return cosine * real + sine * imaginary, cosine * imaginary - sine * real


@triton.jit
def _twiddled(re, im, table, R: tl.constexpr, BACK: tl.constexpr, FIRST: tl.constexpr):
    """Return R tensors f of all j times exp(-2 pi i j f / N)."""
    a = (re[0],)
    b = (im[0],)
    for f in tl.static_range(1, R):
        turn = table + tl.arange(0, 16) * f
        cosine, sine = tl.load(turn), tl.load(turn + 16 * R)
        cosine = cosine[:, None] if FIRST else cosine[None, :]
        sine = sine[:, None] if FIRST else sine[None, :]
        real, imaginary = _turned(re[f], im[f], cosine, sine, BACK)
        a = a + (real,)
        b = b + (imaginary,)
    return a, b


@triton.jit
def _joined(x, N: tl.constexpr, LEVELS: tl.constexpr):
    """Return N tensors as one, whose last axis says which."""
    y = x
    for level in tl.static_range(LEVELS):
        y = _halves_joined(y, N // 2 ** (level + 1))
    return tl.reshape(y[0], [x[0].shape[0], x[0].shape[1], N])


@triton.jit
def _halves_joined(x, HALF: tl.constexpr):
    y = ()
    for k in tl.static_range(HALF):
        y = y + (tl.join(x[k], x[k + HALF]),)
    return y


@triton.jit
def _apart(x):
    """Return 16 tensors, of which the last axis says which."""
    parts = (tl.reshape(x, [x.shape[0], x.shape[1], 2, 2, 2, 2]),)
    for level in tl.static_range(4):
        parts = _every_other(parts, 2**level)
    return parts


@triton.jit
def _every_other(x, N: tl.constexpr):
    low = ()
    high = ()
    for k in tl.static_range(N):
        even, odd = tl.split(x[k])
        low = low + (even,)
        high = high + (odd,)
    return low + high


@triton.jit
def _exchanged(x, N: tl.constexpr, LEVELS: tl.constexpr, FIRST: tl.constexpr):
    """Return 16 tensors of N numbers a line that were N = 2^LEVELS tensors of 16."""
    x = _joined(x, N, LEVELS)
    x = tl.permute(x, [2, 1, 0]) if FIRST else tl.permute(x, [0, 2, 1])
    return _apart(x)


@triton.jit
def lines(re, im, table, R: tl.constexpr, BACK: tl.constexpr, FIRST: tl.constexpr):
    """Return the transform of lines, or its adjoint: R tensors k of all j become 16 tensors g of all f."""
    LEVELS: tl.constexpr = 2 if R == 4 else 3
    re, im = _few(re, im, R, LEVELS, BACK)
    re, im = _twiddled(re, im, table, R, BACK, FIRST)
    re, im = _exchanged(re, R, LEVELS, FIRST), _exchanged(im, R, LEVELS, FIRST)
    return _few(re, im, 16, 4, BACK)


@triton.jit
def _times(x, factor, N: tl.constexpr):
    y = ()
    for k in tl.static_range(N):
        y = y + (factor * x[k],)
    return y


@triton.jit(do_not_specialize=["sign"])
def _transformed(fields, found, table, sign, R: tl.constexpr, LINES: tl.constexpr):
    N: tl.constexpr = 16 * R
    fields += 2 * tl.program_id(0).to(tl.int64) * N * N
    found += 2 * tl.program_id(0).to(tl.int64) * N * N
    line, j, f = tl.arange(0, LINES), tl.arange(0, 16), tl.arange(0, R)
    of_columns, to_columns = places(N * j, LINES), places(N * f, LINES)
    of_rows, to_rows = places(N * line, 16), places(N * line, R)
    for start in range(0, N, LINES):
        re, im = given(fields + 2 * start, of_columns, 16 * N, R)
        # The adjoint is the transform of conjugates, conjugate.
        im = _times(im, sign, R)
        re, im = lines(re, im, table, R, False, True)
        for g in tl.static_range(16):
            store(found + 2 * (R * g * N + start), to_columns, re[g], im[g])
    tl.debug_barrier()
    for start in range(0, N, LINES):
        re, im = given(found + 2 * start * N, of_rows, 16, R)
        re, im = lines(re, im, table, R, False, False)
        # Others of the program read what is written now.
        tl.debug_barrier()
        for g in tl.static_range(16):
            store(found + 2 * (start * N + R * g), to_rows, re[g], sign * im[g])
