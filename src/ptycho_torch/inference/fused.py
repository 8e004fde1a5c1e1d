"""What the counts say of every pixel of fields on the detector, as one kernel each for a GPU.

The compiler that PyTorch brings along for GPUs makes the kernels when
they are first launched, and keeps them for programs to come.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.inference.pages import Fields, Judged, Number, Pages, Pixels
from ptycho_torch.objectives.kernels import log1p
from ptycho_torch.objectives.poisson import FLOOR, LEAST, REACH

# Pixels that a program of a kernel works on at once, two a thread, and how often it does where it makes sums.
BLOCK, ROUNDS = 256, 16
# Sums that a program makes, each of so few numbers that single precision does.
N_SUMS = 5

_FLOOR, _REACH, _LEAST = tl.constexpr(FLOOR), tl.constexpr(REACH), tl.constexpr(LEAST)
# Least of (n - lambda) / lambda: the logarithm of nothing is not asked for.
_LOWEST = tl.constexpr(torch.finfo(torch.float32).eps - 1)


class FusedPages(Pages):
    """`Pages` for a GPU."""

    def judged(
        self, field: Fields, along: tuple[Fields, Number] | None, haze: Number, pixels: Pixels, *, each: bool
    ) -> Judged:
        """Judge fields on the detector, as `Pages.judged` does."""
        frames, modes, size, _ = field.shape
        scan, programs = pixels.scan, _programs(field, ROUNDS)
        patterns, rows = scan.stored(pixels.frames, pixels.then)
        change, length = along or (field, haze)
        sums = torch.empty(N_SUMS, programs[0] * programs[1], device=field.device)
        deviance = torch.empty((frames, size, size) if each else (0,), device=field.device)
        slope = torch.empty_like(field, memory_format=torch.contiguous_format)
        scale = scan.count_scale
        _judged[programs](
            *(_room(field), _parts(change), length, haze),
            *(patterns.contiguous(), rows, scale or 1.0, *_masks(pixels)),
            *(sums, deviance, _parts(slope)),
            *(size**2, modes, along is not None, scale is not None, each, BLOCK, ROUNDS),
        )
        return Judged(sums, slope, deviance if each else None)

    def bent(self, field: Fields, change: Fields, haze: Number, haze_change: Number, pixels: Pixels) -> Tensor:
        """Return the Fisher curvature of fields that change, as `Pages.bent` does."""
        programs = _programs(field, ROUNDS)
        sums = torch.empty(programs[0] * programs[1], device=field.device)
        _bent[programs](
            *(_parts(field), _parts(change), haze, haze_change, *_masks(pixels), sums),
            *(field.shape[-1] ** 2, field.shape[1], BLOCK, ROUNDS),
        )
        return sums


def _programs(field: Fields, rounds: int) -> tuple[int, int]:
    """Return how many frames there are, and into how many parts each is cut for so many rounds."""
    return len(field), triton.cdiv(field.shape[-1] ** 2, BLOCK * rounds)


def _parts(field: Tensor) -> Tensor:
    return torch.view_as_real(field.contiguous())


def _room(field: Tensor) -> Tensor:
    """Return fields as kernels write them: where they lie, and not in a copy."""
    return torch.view_as_real(field.view(-1))


def _masks(pixels: Pixels) -> tuple[Tensor, Tensor, Tensor]:
    """Return mask, masks of pixels held out, and which of these each frame has: row after row, as kernels read."""
    return pixels.scan.mask.contiguous(), pixels.held.contiguous(), pixels.mask_of


@triton.jit
def _load(pointer, frame, start, n_pixels, BLOCK: tl.constexpr):
    """Return real and imaginary parts of the complex numbers of a frame from some pixel on.

    They are read as a row: two numbers of a pixel, and then two of the next, are what a thread reads at once.
    """
    number = 2 * start + tl.arange(0, 2 * BLOCK)
    both = tl.load(pointer + 2 * frame * n_pixels + number, mask=number < 2 * n_pixels, other=0.0)
    return tl.split(tl.reshape(both, [BLOCK, 2]))


@triton.jit
def _store(pointer, frame, start, n_pixels, real, imaginary, BLOCK: tl.constexpr):
    number = 2 * start + tl.arange(0, 2 * BLOCK)
    both = tl.reshape(tl.join(real, imaginary), [2 * BLOCK])
    tl.store(pointer + 2 * frame * n_pixels + number, both, mask=number < 2 * n_pixels)


@triton.jit
def _used(mask, held, pixel, inside):
    """Return 1 for trusted pixels and 0 for others, and the same for those that take part."""
    trusted = tl.load(mask + pixel, mask=inside, other=0).to(tl.float32)
    out = tl.load(held + pixel, mask=inside, other=0).to(tl.float32)
    return trusted, trusted * (1 - out)


@triton.jit
def _deviance(excess, measured, more):
    """Return the Poisson deviance of counts that are larger than expected by ``more``, and by a factor 1 + excess."""
    return 2 * (measured * log1p(tl.maximum(excess, _LOWEST)) - more)


@triton.jit
def _added(a, b, c, d, e, f, g, h, i, j):
    return a + f, b + g, c + h, d + i, e + j


@triton.jit
def _judged(
    field,
    change,
    length,
    haze,
    patterns,
    rows,
    scale,
    mask,
    held,
    mask_of,
    sums,
    deviance,
    slope,
    n_pixels,
    MODES: tl.constexpr,
    ALONG: tl.constexpr,
    SCALED: tl.constexpr,
    EACH: tl.constexpr,
    BLOCK: tl.constexpr,
    ROUNDS: tl.constexpr,
):
    frame, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    patterns += tl.load(rows + frame) * n_pixels
    held += tl.load(mask_of + frame) * n_pixels
    light = tl.load(haze)
    further = tl.load(length)
    deviances = tl.zeros([BLOCK], tl.float32)
    differences = tl.zeros([BLOCK], tl.float32)
    roots = tl.zeros([BLOCK], tl.float32)
    tempered = tl.zeros([BLOCK], tl.float32)
    residuals = tl.zeros([BLOCK], tl.float32)
    for turn in range(ROUNDS):
        start = (part * ROUNDS + turn) * BLOCK
        pixel = start + tl.arange(0, BLOCK)
        inside = pixel < n_pixels
        expected = tl.zeros([BLOCK], tl.float32) + light
        for mode in tl.static_range(MODES):
            real, imaginary = _load(field, frame * MODES + mode, start, n_pixels, BLOCK)
            if ALONG:
                a, b = _load(change, frame * MODES + mode, start, n_pixels, BLOCK)
                real += further * a
                imaginary += further * b
                _store(field, frame * MODES + mode, start, n_pixels, real, imaginary, BLOCK)
            expected += real * real + imaginary * imaginary
        trusted, used = _used(mask, held, pixel, inside)
        expected *= trusted
        measured = tl.load(patterns + pixel, mask=inside, other=0).to(tl.float32)
        if SCALED:
            measured = scale * measured
            measured = measured * measured
        measured = tl.where(trusted > 0, measured, 0.0)

        # Without a division: a GPU has the inverse of a root at once.
        known = tl.maximum(expected, _FLOOR)
        over_a, root = tl.rsqrt(known), tl.sqrt(measured)
        here = _deviance((measured - known) * over_a * over_a, measured, measured - expected)
        a = known * over_a
        b = tl.minimum(tl.maximum(a, tl.maximum(root - _REACH, _LEAST * root)), root + _REACH)
        credible = a == b
        near = tl.where(credible, known, b * b)
        more, over_b = measured - near, tl.rsqrt(near)
        # Exactly nothing where it is credible: a compiler may subtract from a product that it does not round.
        lean, beyond = -more * over_b, tl.where(credible, 0.0, a - b)
        far = _deviance(more * over_b * over_b, measured, more) + 4 * beyond * (lean + beyond)
        residual = used * (lean + 2 * beyond) * over_a

        deviances += used * here
        differences += tl.where(inside, tl.abs(tl.sqrt(expected) - root), 0.0)
        roots += root
        tempered += used * tl.where(credible, here, far)
        residuals += residual
        if EACH:
            tl.store(deviance + frame * n_pixels + pixel, here, mask=inside)
        if MODES > 1:
            # Others of the program may have stored what is read here.
            tl.debug_barrier()
        for mode in tl.static_range(MODES):
            if MODES > 1:
                real, imaginary = _load(field, frame * MODES + mode, start, n_pixels, BLOCK)
            c, d = 2 * residual * real, 2 * residual * imaginary
            _store(slope, frame * MODES + mode, start, n_pixels, c, d, BLOCK)

    a, b, c, d, e = tl.reduce((deviances, differences, roots, tempered, residuals), 0, _added)
    n_programs = tl.num_programs(0) * tl.num_programs(1)
    told = sums + frame * tl.num_programs(1) + part
    tl.store(told, a)
    tl.store(told + n_programs, b)
    tl.store(told + 2 * n_programs, c)
    tl.store(told + 3 * n_programs, d)
    tl.store(told + 4 * n_programs, e)


@triton.jit
def _bent(
    field,
    change,
    haze,
    haze_change,
    mask,
    held,
    mask_of,
    sums,
    n_pixels,
    MODES: tl.constexpr,
    BLOCK: tl.constexpr,
    ROUNDS: tl.constexpr,
):
    frame, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    held += tl.load(mask_of + frame) * n_pixels
    light = tl.load(haze)
    light_change = tl.load(haze_change)
    bends = tl.zeros([BLOCK], tl.float32)
    for turn in range(ROUNDS):
        start = (part * ROUNDS + turn) * BLOCK
        pixel = start + tl.arange(0, BLOCK)
        expected = tl.zeros([BLOCK], tl.float32) + light
        change_in_counts = tl.zeros([BLOCK], tl.float32) + light_change
        for mode in tl.static_range(MODES):
            a, b = _load(field, frame * MODES + mode, start, n_pixels, BLOCK)
            c, d = _load(change, frame * MODES + mode, start, n_pixels, BLOCK)
            expected += a * a + b * b
            change_in_counts += 2 * (a * c + b * d)
        _, used = _used(mask, held, pixel, pixel < n_pixels)
        bends += used * change_in_counts * change_in_counts / tl.maximum(expected, _FLOOR)
    tl.store(sums + frame * tl.num_programs(1) + part, tl.sum(bends))
