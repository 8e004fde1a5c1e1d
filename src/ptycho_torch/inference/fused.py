"""What an iteration does with every pixel between two transforms, as one kernel each for a GPU.

Every array is read or written once. The compiler that PyTorch brings along for GPUs makes the kernels when
they are first launched, and keeps them for programs to come.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ptycho_torch.inference.pages import Canvas, Fields, Judged, Number, Pages, Pixels
from ptycho_torch.objectives.poisson import FLOOR, LEAST, REACH
from ptycho_torch.physics.patches import PatchesAt

# Pixels that a program of a kernel works on.
BLOCK = 256
# Sums that every program makes, each of so few numbers that single precision does.
N_SUMS = tl.constexpr(5)

_FLOOR, _REACH, _LEAST = tl.constexpr(FLOOR), tl.constexpr(REACH), tl.constexpr(LEAST)
# Least of (n - lambda) / lambda: the logarithm of nothing is not asked for.
_LOWEST = tl.constexpr(torch.finfo(torch.float32).eps - 1)


class FusedPages(Pages):
    """`Pages` for a GPU; sums on a canvas are in no fixed order."""

    def exit_waves(self, probes: Fields, look: PatchesAt, object_: Canvas) -> Fields:
        """Return probes times the patches that are cut from an object."""
        found = torch.empty_like(probes)
        _exit_waves[_programs(probes)](
            *(_parts(probes), look.first, _parts(object_), _parts(found)),
            *_sizes(probes, look.object_shape[1]),
        )
        return found

    def add_back(self, canvas: Canvas, look: PatchesAt, probes: Fields, back: Fields) -> None:
        """Add the adjoint of `exit_waves` to a canvas."""
        _add_back[_programs(probes)](
            *(_parts(probes), look.first, _parts(back), torch.view_as_real(canvas)),
            *_sizes(probes, look.object_shape[1]),
        )

    def judged(
        self, field: Fields, along: tuple[Fields, Number] | None, haze: Number, pixels: Pixels, *, each: bool
    ) -> Judged:
        """Judge fields on the detector, as `Pages.judged` does."""
        frames, modes, size, _ = field.shape
        scan, programs = pixels.scan, _programs(field)
        patterns, rows = scan.stored(pixels.frames, pixels.then)
        change, length = along or (field, haze)
        sums = torch.empty(programs[0] * programs[1], N_SUMS.value, device=field.device)
        deviance = torch.empty((frames, size, size) if each else (0,), device=field.device)
        slope = torch.empty_like(field)
        scale = scan.count_scale
        _judged[programs](
            *(torch.view_as_real(field), _parts(change), length, haze),
            *(patterns.contiguous(), rows, scale or 1.0, *_masks(pixels)),
            *(sums, deviance, _parts(slope)),
            *(size**2, modes, along is not None, scale is not None, each, BLOCK),
        )
        return Judged(sums.sum(dim=0, dtype=torch.float64), slope, deviance if each else None)

    def bent(self, field: Fields, change: Fields, haze: Number, haze_change: Number, pixels: Pixels) -> Tensor:
        """Return the Fisher curvature sum (d lambda)^2 / lambda of fields that change, over pixels that take part."""
        programs = _programs(field)
        sums = torch.empty(programs[0] * programs[1], device=field.device)
        _bent[programs](
            *(_parts(field), _parts(change), haze, haze_change, *_masks(pixels), sums),
            *(field.shape[-1] ** 2, field.shape[1], BLOCK),
        )
        return sums.sum(dtype=torch.float64)


def _programs(field: Fields) -> tuple[int, int]:
    """Return how many frames there are, and into how many blocks of pixels each is cut."""
    return len(field), triton.cdiv(field.shape[-1] ** 2, BLOCK)


def _parts(field: Tensor) -> Tensor:
    return torch.view_as_real(field.contiguous())


def _masks(pixels: Pixels) -> tuple[Tensor, Tensor, Tensor]:
    """Return mask, masks of pixels held out, and which of these each frame has: row after row, as kernels read."""
    return pixels.scan.mask.contiguous(), pixels.held.contiguous(), pixels.mask_of


def _sizes(probes: Fields, width: int) -> tuple[int, int, int, int]:
    return probes.shape[-1], width, probes.shape[1], BLOCK


@triton.jit
def _load(pointer, offset, inside):
    """Return real and imaginary parts of complex numbers."""
    part = tl.arange(0, 2)
    return tl.split(tl.load(pointer + 2 * offset[:, None] + part[None, :], mask=inside[:, None], other=0.0))


@triton.jit
def _store(pointer, offset, inside, real, imaginary):
    part = tl.arange(0, 2)
    tl.store(pointer + 2 * offset[:, None] + part[None, :], tl.join(real, imaginary), mask=inside[:, None])


@triton.jit
def _on_canvas(first, frame, pixel, size, width):
    """Return where pixels of a frame lie on the canvas, row after row."""
    return (tl.load(first + frame) + (pixel // size) * width + pixel % size).to(tl.int64)


@triton.jit
def _exit_waves(probes, first, canvas, found, size, width, MODES: tl.constexpr, BLOCK: tl.constexpr):
    frame, pixel = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < size * size
    real, imaginary = _load(canvas, _on_canvas(first, frame, pixel, size, width), inside)
    for mode in tl.static_range(MODES):
        place = (frame * MODES + mode) * size * size + pixel
        a, b = _load(probes, place, inside)
        _store(found, place, inside, a * real - b * imaginary, a * imaginary + b * real)


@triton.jit
def _add_back(probes, first, back, canvas, size, width, MODES: tl.constexpr, BLOCK: tl.constexpr):
    frame, pixel = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < size * size
    real = tl.zeros([BLOCK], tl.float32)
    imaginary = tl.zeros([BLOCK], tl.float32)
    for mode in tl.static_range(MODES):
        place = (frame * MODES + mode) * size * size + pixel
        a, b = _load(probes, place, inside)
        c, d = _load(back, place, inside)
        real += a * c + b * d
        imaginary += a * d - b * c
    place = _on_canvas(first, frame, pixel, size, width)
    target = canvas + 2 * place[:, None] + tl.arange(0, 2)[None, :]
    tl.atomic_add(target, tl.join(real, imaginary), mask=inside[:, None], sem="relaxed")


@triton.jit
def _used(mask, held, mask_of, frame, pixel, inside, n_pixels):
    """Return 1 for trusted pixels and 0 for others, and the same for those that take part."""
    trusted = tl.load(mask + pixel, mask=inside, other=0).to(tl.float32)
    out = tl.load(held + tl.load(mask_of + frame) * n_pixels + pixel, mask=inside, other=0).to(tl.float32)
    return trusted, trusted * (1 - out)


@triton.jit
def _log1p(x):
    """Return log(1 + x), right to rounding also where x is small (W. Kahan)."""
    u = 1 + x
    return tl.where(u == 1, x, tl.log(u) * x / tl.where(u == 1, 1.0, u - 1))


@triton.jit
def _poisson_deviance(expected, measured):
    known = tl.maximum(expected, _FLOOR)
    excess = tl.maximum((measured - known) / known, _LOWEST)
    return 2 * (measured * _log1p(excess) - (measured - expected))


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
):
    frame, pixel = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < n_pixels
    further = tl.load(length)
    expected = tl.zeros([BLOCK], tl.float32) + tl.load(haze)
    for mode in tl.static_range(MODES):
        place = (frame * MODES + mode) * n_pixels + pixel
        real, imaginary = _load(field, place, inside)
        if ALONG:
            a, b = _load(change, place, inside)
            real += further * a
            imaginary += further * b
            _store(field, place, inside, real, imaginary)
        expected += real * real + imaginary * imaginary
    trusted, used = _used(mask, held, mask_of, frame, pixel, inside, n_pixels)
    expected *= trusted
    measured = tl.load(patterns + tl.load(rows + frame) * n_pixels + pixel, mask=inside, other=0).to(tl.float32)
    if SCALED:
        measured = scale * measured
        measured = measured * measured
    measured = tl.where(trusted > 0, measured, 0.0)

    here = _poisson_deviance(expected, measured)
    a, root = tl.sqrt(tl.maximum(expected, _FLOOR)), tl.sqrt(measured)
    b = tl.minimum(tl.maximum(a, tl.maximum(root - _REACH, _LEAST * root)), root + _REACH)
    near = tl.where(a == b, expected, b * b)
    lean, beyond = b - measured / b, a - b
    tempered = _poisson_deviance(near, measured) + 4 * beyond * (lean + beyond)
    residual = used * (lean + 2 * beyond) / a

    told = sums + (frame * tl.num_programs(1) + tl.program_id(1)) * N_SUMS
    tl.store(told, tl.sum(used * here))
    tl.store(told + 1, tl.sum(tl.where(inside, tl.abs(tl.sqrt(expected) - root), 0.0)))
    tl.store(told + 2, tl.sum(root))
    tl.store(told + 3, tl.sum(used * tempered))
    tl.store(told + 4, tl.sum(residual))
    if EACH:
        tl.store(deviance + frame * n_pixels + pixel, here, mask=inside)
    if MODES > 1:
        # Others of the program may have stored what is read here.
        tl.debug_barrier()
    for mode in tl.static_range(MODES):
        place = (frame * MODES + mode) * n_pixels + pixel
        if MODES > 1:
            real, imaginary = _load(field, place, inside)
        _store(slope, place, inside, 2 * residual * real, 2 * residual * imaginary)


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
):
    frame, pixel = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < n_pixels
    expected = tl.zeros([BLOCK], tl.float32) + tl.load(haze)
    change_in_counts = tl.zeros([BLOCK], tl.float32) + tl.load(haze_change)
    for mode in tl.static_range(MODES):
        place = (frame * MODES + mode) * n_pixels + pixel
        a, b = _load(field, place, inside)
        c, d = _load(change, place, inside)
        expected += a * a + b * b
        change_in_counts += 2 * (a * c + b * d)
    _, used = _used(mask, held, mask_of, frame, pixel, inside, n_pixels)
    bend = used * change_in_counts * change_in_counts / tl.maximum(expected, _FLOOR)
    tl.store(sums + frame * tl.num_programs(1) + tl.program_id(1), tl.sum(bend))
