"""What the counts say of every pixel of fields on the detector, as one kernel each for a GPU; with transforms, too.

The compiler that PyTorch brings along for GPUs makes the kernels when
they are first launched, and keeps them for programs to come.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.inference.pages import Canvas, Fields, Judged, Lit, Number, Pages, Pixels
from ptycho_torch.objectives.kernels import log1p
from ptycho_torch.objectives.poisson import FLOOR, LEAST, REACH
from ptycho_torch.physics.transform_kernels import given, how, lines, load, parts, places, store, together, turns
from ptycho_torch.physics.transforms import SIDES

# Pixels that a program of a kernel works on at once, two a thread, and how often it does where it makes sums.
BLOCK, ROUNDS = 256, 16
# Sums that a program makes, each of so few numbers that single precision does.
N_SUMS = 5

_FLOOR, _REACH, _LEAST = tl.constexpr(FLOOR), tl.constexpr(REACH), tl.constexpr(LEAST)
# Least of (n - lambda) / lambda: the logarithm of nothing is not asked for.
_LOWEST = tl.constexpr(torch.finfo(torch.float32).eps - 1)


class FusedPages(Pages):
    """`Pages` for a GPU: sums are in any order."""

    def judged(
        self, field: Fields, along: tuple[Fields, Number] | None, haze: Number, pixels: Pixels, *, each: bool
    ) -> tuple[Judged, Fields]:
        """Judge fields on the detector, as `Pages.judged` does."""
        _, modes, size, _ = field.shape
        programs = _programs(field, ROUNDS)
        change, length = along or (field, haze)
        sums = torch.empty(N_SUMS, programs[0] * programs[1], device=field.device)
        deviance = _room_for_deviance(field, each)
        slope = torch.empty_like(field, memory_format=torch.contiguous_format)
        scaled = pixels.scan.count_scale is not None
        _judged[programs](
            *(_room(field), parts(change), length, haze),
            *(*_counts(pixels), *_masks(pixels), sums, deviance, parts(slope)),
            *(size**2, modes, along is not None, scaled, each, BLOCK, ROUNDS),
        )
        return Judged(sums, deviance if each else None), slope

    def bent(self, field: Fields, change: Fields, haze: Number, haze_change: Number, pixels: Pixels) -> Tensor:
        """Return the Fisher curvature of fields that change, as `Pages.bent` does."""
        programs = _programs(field, ROUNDS)
        sums = torch.empty(programs[0] * programs[1], device=field.device)
        _bent[programs](
            *(parts(field), parts(change), haze, haze_change, *_masks(pixels), sums),
            *(field.shape[-1] ** 2, field.shape[1], BLOCK, ROUNDS),
        )
        return sums


class JoinedPages(FusedPages):
    """`FusedPages` whose kernels transform too, where there is one mode and its side is one of SIDES.

    What such a kernel writes for itself, and what it has just read, stays in the cache.
    """

    def changed(
        self, lit: Lit, along: Canvas, field: Fields, haze: Number, haze_change: Number, pixels: Pixels
    ) -> tuple[Fields, Tensor]:
        """Return how fields change, and what is bent by it, as `Pages.changed` does."""
        frames, modes, size, _ = field.shape
        if modes > 1 or size not in SIDES:
            return super().changed(lit, along, field, haze, haze_change, pixels)
        change = torch.empty_like(field, memory_format=torch.contiguous_format)
        sums = torch.empty(frames, device=field.device)
        _changed[(frames,)](
            *(parts(lit.probes), parts(along), lit.look.first, parts(field), parts(change), haze, haze_change),
            *(*_masks(pixels), sums, turns(size, field.device), along.shape[1]),
            **how(size),
        )
        return change, sums

    def judged_further(
        self,
        lit: Lit,
        field: Fields,
        change: Fields,
        length: Number,
        haze: Number,
        pixels: Pixels,
        gradient: Canvas,
        *,
        each: bool,
    ) -> Judged:
        """Judge fields further along a line, as `Pages.judged_further` does."""
        frames, modes, size, _ = field.shape
        if modes > 1 or size not in SIDES:
            return super().judged_further(lit, field, change, length, haze, pixels, gradient, each=each)
        sums = torch.empty(N_SUMS, frames, device=field.device)
        deviance = _room_for_deviance(field, each)
        back = torch.empty_like(field, memory_format=torch.contiguous_format)
        _judged_further[(frames,)](
            *(_room(field), parts(change), length, haze, *_counts(pixels), *_masks(pixels), sums, deviance),
            *(parts(back), parts(lit.probes), lit.look.first, _room(gradient), turns(size, field.device)),
            gradient.shape[1],
            **{"SCALED": pixels.scan.count_scale is not None, "EACH": each, **how(size)},
        )
        return Judged(sums, deviance if each else None)


def _programs(field: Fields, rounds: int) -> tuple[int, int]:
    """Return how many frames there are, and into how many parts each is cut for so many rounds."""
    return len(field), triton.cdiv(field.shape[-1] ** 2, BLOCK * rounds)


def _room(field: Tensor) -> Tensor:
    """Return fields as kernels write them: where they lie, and not in a copy."""
    return torch.view_as_real(field.view(-1))


def _room_for_deviance(field: Fields, each: bool) -> Tensor:
    frames, _, size, _ = field.shape
    return torch.empty((frames, size, size) if each else (0,), device=field.device)


def _counts(pixels: Pixels) -> tuple[Tensor, Tensor, float]:
    """Return patterns as they are stored, which of them those of the frames are, and the factor of scaled ones."""
    patterns, rows = pixels.scan.stored(pixels.frames, pixels.then)
    return patterns.contiguous(), rows, pixels.scan.count_scale or 1.0


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
def _said(expected, measured, scale, trusted, used, SCALED: tl.constexpr):
    """Return what counts say of those expected.

    Deviance, |sqrt(lambda) - sqrt(n)|, sqrt(n), tempered deviance, and half its slope in a light that falls on all.
    """
    expected *= trusted
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
    return here, tl.abs(tl.sqrt(expected) - root), root, tl.where(credible, here, far), residual


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
        measured = tl.load(patterns + pixel, mask=inside, other=0).to(tl.float32)
        here, difference, root, other, residual = _said(expected, measured, scale, trusted, used, SCALED)
        deviances += used * here
        differences += tl.where(inside, difference, 0.0)
        roots += root
        tempered += used * other
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
def _bend(change_in_counts, expected):
    return change_in_counts * change_in_counts / tl.maximum(expected, _FLOOR)


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
        bends += used * _bend(change_in_counts, expected)
    tl.store(sums + frame * tl.num_programs(1) + part, tl.sum(bends))


@triton.jit(do_not_specialize=["width"])
def _changed(
    lit,
    along,
    first,
    field,
    change,
    haze,
    haze_change,
    mask,
    held,
    mask_of,
    sums,
    table,
    width,
    R: tl.constexpr,
    LINES: tl.constexpr,
):
    N: tl.constexpr = 16 * R
    frame = tl.program_id(0).to(tl.int64)
    lit += 2 * frame * N * N
    field += 2 * frame * N * N
    change += 2 * frame * N * N
    along += 2 * tl.load(first + frame).to(tl.int64)
    held += tl.load(mask_of + frame) * N * N
    light = tl.load(haze)
    light_change = tl.load(haze_change)
    line, j, f = tl.arange(0, LINES), tl.arange(0, 16), tl.arange(0, R)
    of_columns, to_columns = places(N * j, LINES), places(N * f, LINES)
    of_rows, to_rows = places(N * line, 16), places(N * line, R)
    on_canvas, pixel = places(width * j, LINES), N * line[:, None] + f[None, :]
    for start in range(0, N, LINES):
        re = ()
        im = ()
        for k in tl.static_range(R):
            a, b = load(lit + 2 * (16 * k * N + start), of_columns)
            c, d = load(along + 2 * (16 * k * width + start), on_canvas)
            re = re + (a * c - b * d,)
            im = im + (a * d + b * c,)
        re, im = lines(re, im, table, R, False, True)
        for g in tl.static_range(16):
            store(change + 2 * (R * g * N + start), to_columns, re[g], im[g])
    tl.debug_barrier()
    total = 0.0
    for start in range(0, N, LINES):
        re, im = given(change + 2 * start * N, of_rows, 16, R)
        re, im = lines(re, im, table, R, False, False)
        # Others of the program read what is written now.
        tl.debug_barrier()
        bends = tl.zeros([LINES, R], tl.float32)
        for g in tl.static_range(16):
            begin = start * N + R * g
            store(change + 2 * begin, to_rows, re[g], im[g])
            a, b = load(field + 2 * begin, to_rows)
            _, used = _used(mask + begin, held + begin, pixel, True)
            change_in_counts = light_change + 2 * (a * re[g] + b * im[g])
            bends += used * _bend(change_in_counts, light + a * a + b * b)
        total += tl.sum(bends)
    tl.store(sums + frame, total)


@triton.jit(do_not_specialize=["width"])
def _judged_further(
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
    back,
    lit,
    first,
    gradient,
    table,
    width,
    SCALED: tl.constexpr,
    EACH: tl.constexpr,
    R: tl.constexpr,
    LINES: tl.constexpr,
):
    N: tl.constexpr = 16 * R
    frame = tl.program_id(0).to(tl.int64)
    field += 2 * frame * N * N
    change += 2 * frame * N * N
    back += 2 * frame * N * N
    lit += 2 * frame * N * N
    deviance += frame * N * N
    patterns += tl.load(rows + frame) * N * N
    held += tl.load(mask_of + frame) * N * N
    gradient += 2 * tl.load(first + frame).to(tl.int64)
    light = tl.load(haze)
    further = tl.load(length)
    line, j, f = tl.arange(0, LINES), tl.arange(0, 16), tl.arange(0, R)
    of_columns, to_columns = places(N * j, LINES), places(N * f, LINES)
    of_rows, to_rows = places(N * line, 16), places(N * line, R)
    on_canvas, pixel = places(width * f, LINES), N * line[:, None] + j[None, :]
    told = (0.0, 0.0, 0.0, 0.0, 0.0)
    for start in range(0, N, LINES):
        deviances = tl.zeros([LINES, 16], tl.float32)
        differences = tl.zeros([LINES, 16], tl.float32)
        roots = tl.zeros([LINES, 16], tl.float32)
        tempered = tl.zeros([LINES, 16], tl.float32)
        residuals = tl.zeros([LINES, 16], tl.float32)
        re = ()
        im = ()
        for k in tl.static_range(R):
            begin = start * N + 16 * k
            real, imaginary = load(field + 2 * begin, of_rows)
            a, b = load(change + 2 * begin, of_rows)
            real += further * a
            imaginary += further * b
            store(field + 2 * begin, of_rows, real, imaginary)
            trusted, used = _used(mask + begin, held + begin, pixel, True)
            measured = tl.load(patterns + begin + pixel).to(tl.float32)
            expected = light + real * real + imaginary * imaginary
            here, difference, root, other, residual = _said(expected, measured, scale, trusted, used, SCALED)
            deviances += used * here
            differences += difference
            roots += root
            tempered += used * other
            residuals += residual
            if EACH:
                tl.store(deviance + begin + pixel, here)
            re = re + (2 * residual * real,)
            im = im + (2 * residual * imaginary,)
        of_rows_here = tl.reduce((deviances, differences, roots, tempered, residuals), 1, _added)
        a, b, c, d, e = tl.reduce(of_rows_here, 0, _added)
        told = told[0] + a, told[1] + b, told[2] + c, told[3] + d, told[4] + e
        re, im = lines(re, im, table, R, True, False)
        for g in tl.static_range(16):
            store(back + 2 * (start * N + R * g), to_rows, re[g], im[g])
    for k in tl.static_range(len(told)):
        tl.store(sums + frame + k * tl.num_programs(0), told[k])
    tl.debug_barrier()
    for start in range(0, N, LINES):
        re, im = given(back + 2 * start, of_columns, 16 * N, R)
        re, im = lines(re, im, table, R, True, True)
        for g in tl.static_range(16):
            a, b = load(lit + 2 * (R * g * N + start), to_columns)
            both = together(a * re[g] + b * im[g], a * im[g] - b * re[g])
            tl.atomic_add(gradient + 2 * (R * g * width + start) + on_canvas, both, sem="relaxed")
