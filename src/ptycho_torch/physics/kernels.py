"""What physics does with every pixel between two transforms, as kernels for a GPU.

The compiler that PyTorch brings along for GPUs makes the kernels when they are first launched, and keeps them for
programs to come.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ptycho_torch.physics.modulus import over_modes
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.per_pixel import PLAIN, Canvas, Fields, PerPixel
from ptycho_torch.physics.subpixel import SubpixelShift

# Pixels that a program of a kernel works on, and of a canvas whose pixels ask all patches of their region.
BLOCK, ON_CANVAS = 256, 512
# Patches of a region up to which its pixels ask them all.
MANY = 256


class Kernels(PerPixel):
    """`PerPixel` for a GPU, in single precision. Sums on a canvas are in any order, unless they shall be repeatable.

    Then every pixel asks all patches of its region, in their order; where a region has more than MANY they are sorted.
    """

    def turned(
        self, spectra: Complex[Tensor, "_ mode y x"], place: SubpixelShift, *, back: bool = False, zero: int = 0
    ) -> Fields:
        """Return spectra, those of each patch or one for all, times the factors of a shift, or those of its adjoint."""
        if _learn(place.ramp_y, place.ramp_x):
            return super().turned(spectra, place, back=back, zero=zero)
        return _Turned.apply(spectra, place, back, zero)

    def lit(
        self, patches: Complex[Tensor, "patch y x"], weight: Float[Tensor, "*patch y x"]
    ) -> Complex[Tensor, "patch y x"]:
        """Return patches times their weights, or one for all."""
        return super().lit(patches, weight) if _learn(weight) else _Lit.apply(patches, weight)

    def cut(self, canvas: Canvas, look: PatchesAt) -> Complex[Tensor, "patch y x"]:
        """Return the patches that lie on a canvas."""
        return _Cut.apply(canvas, look)

    def stitched(self, patches: Complex[Tensor, "patch y x"], look: PatchesAt) -> Canvas:
        """Return patches added up on an empty canvas: the adjoint of `cut`."""
        return _Stitched.apply(patches, look)

    def add_to(self, canvas: Canvas, patches: Complex[Tensor, "patch y x"], look: PatchesAt) -> Canvas:
        """Add patches to a canvas, in place, and return it."""
        if torch.are_deterministic_algorithms_enabled() or _learn(canvas, patches):
            return super().add_to(canvas, patches, look)
        return _add_to_canvas(canvas, patches[:, None], None, look)

    def exit_waves(self, probes: Fields, canvas: Canvas, look: PatchesAt) -> Fields:
        """Return probes times the patches that lie on a canvas."""
        if _learn(probes):
            return super().exit_waves(probes, canvas, look)
        return _ExitWaves.apply(probes, canvas, look)

    def add_back(self, canvas: Canvas, probes: Fields, waves: Fields, look: PatchesAt) -> Canvas:
        """Add waves times conjugate probes, summed over modes, to a canvas, in place: the adjoint of `exit_waves`."""
        if torch.are_deterministic_algorithms_enabled() or _learn(canvas, probes, waves):
            return super().add_back(canvas, probes, waves, look)
        return _add_to_canvas(canvas, waves, probes, look)

    def intensity(self, fields: Fields) -> Float[Tensor, "patch y x"]:
        """Return sum_m |Psi_m|^2."""
        return _Intensity.apply(fields)

    def missing(
        self,
        counts: Float[Tensor, "patch y x"],
        modulus: Float[Tensor, "*patch y x"],
        direction: Complex[Tensor, "*patch mode y x"],
    ) -> Fields:
        """Return what the roots of counts have more than a modulus, along a direction."""
        if _learn(counts, modulus, direction):
            return super().missing(counts, modulus, direction)
        modes, size = direction.shape[-3], counts.shape[-1]
        found = torch.empty(len(counts), modes, size, size, dtype=direction.dtype, device=direction.device)
        _missing[_programs(counts)](
            *(counts.contiguous(), modulus.contiguous(), _parts(direction), _parts(found)),
            *(size**2, modes, modulus.ndim == 3, BLOCK),
        )
        return found


def _learn(*given: Tensor) -> bool:
    """Return whether gradients are asked for that no kernel makes."""
    return torch.is_grad_enabled() and any(part.requires_grad for part in given)


class _Turned(Function):
    @staticmethod
    def forward(ctx: Any, spectra: Tensor, place: SubpixelShift, back: bool, zero: int) -> Tensor:
        ctx.place, ctx.common, ctx.back, ctx.zero = place, len(spectra) == 1, back, zero
        return _turned_by(spectra, place, back=back, zero=zero)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        back = _turned_by(slope, ctx.place, back=not ctx.back, zero=ctx.zero)
        return back.sum(dim=0, keepdim=True) if ctx.common else back, None, None, None


def _turned_by(spectra: Tensor, place: SubpixelShift, *, back: bool, zero: int) -> Tensor:
    modes, size = spectra.shape[1], spectra.shape[-1]
    found = torch.empty(len(place.ramp_y), modes, size, size, dtype=spectra.dtype, device=spectra.device)
    _turned[_programs(found)](
        *(_parts(spectra), _parts(place.ramp_y), _parts(place.ramp_x), _parts(found), 1 / size**2),
        *(size, zero, modes, len(spectra) > 1, back, BLOCK),
    )
    return found


class _Lit(Function):
    @staticmethod
    def forward(ctx: Any, patches: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return _lit_by(patches, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return _lit_by(slope, *ctx.saved_tensors), None


def _lit_by(patches: Tensor, weight: Tensor) -> Tensor:
    found = torch.empty_like(patches, memory_format=torch.contiguous_format)
    _lit[_programs(patches)](
        *(_parts(patches), weight.contiguous(), _parts(found)),
        *(patches.shape[-1] ** 2, weight.ndim == 3, BLOCK),
    )
    return found


class _Cut(Function):
    @staticmethod
    def forward(ctx: Any, canvas: Tensor, look: PatchesAt) -> Tensor:
        ctx.look = look
        return _cut_from(canvas, look)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return _stitch(slope[:, None], None, ctx.look), None


class _Stitched(Function):
    @staticmethod
    def forward(ctx: Any, patches: Tensor, look: PatchesAt) -> Tensor:
        ctx.look = look
        return _stitch(patches[:, None], None, look)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return _cut_from(slope, ctx.look), None


class _ExitWaves(Function):
    @staticmethod
    def forward(ctx: Any, probes: Tensor, canvas: Tensor, look: PatchesAt) -> Tensor:
        ctx.save_for_backward(probes)
        ctx.look = look
        found = torch.empty_like(probes, memory_format=torch.contiguous_format)
        _exit_waves[_programs(probes)](
            *(_parts(probes), look.first, _parts(canvas), _parts(found), canvas.shape[1]),
            *(probes.shape[-1], probes.shape[1], BLOCK),
        )
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor, None]:
        (probes,) = ctx.saved_tensors
        return None, _stitch(slope, probes, ctx.look), None


class _Intensity(Function):
    @staticmethod
    def forward(ctx: Any, fields: Tensor) -> Tensor:
        ctx.save_for_backward(fields)
        patches, modes, height, width = fields.shape
        found = torch.empty(patches, height, width, device=fields.device)
        _intensity[_programs(found)](_parts(fields), found, height * width, modes, BLOCK)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (fields,) = ctx.saved_tensors
        found = torch.empty_like(fields, memory_format=torch.contiguous_format)
        size = slope.shape[-2] * slope.shape[-1]
        _intensity_slope[_programs(slope)](
            _parts(fields), slope.contiguous(), _parts(found), size, fields.shape[1], BLOCK
        )
        return found


def _cut_from(canvas: Tensor, look: PatchesAt) -> Tensor:
    found = torch.empty(len(look.first), look.size, look.size, dtype=canvas.dtype, device=canvas.device)
    _cut[_programs(found)](_parts(canvas), look.first, _parts(found), canvas.shape[1], look.size, BLOCK)
    return found


def _stitch(fields: Tensor, probes: Tensor | None, look: PatchesAt) -> Tensor:
    """Return fields, times conjugate probes where there are any, summed over modes and added up on an empty canvas."""
    height, width = look.object_shape
    if not torch.are_deterministic_algorithms_enabled():
        return _add_to_canvas(fields.new_zeros(height, width), fields, probes, look)
    members = len(fields) // look.n_regions
    if members > MANY:
        return PLAIN.stitched(over_modes(fields if probes is None else probes.conj() * fields), look)
    found = torch.empty(height, width, dtype=fields.dtype, device=fields.device)
    rows = height // look.n_regions
    _stitched[triton.cdiv(rows * width, ON_CANVAS), look.n_regions](
        *(_parts(fields), _parts(fields if probes is None else probes), look.first, _parts(found)),
        *(rows, width, members, look.size, fields.shape[1], probes is not None, ON_CANVAS),
    )
    return found


def _add_to_canvas(canvas: Tensor, fields: Tensor, probes: Tensor | None, look: PatchesAt) -> Tensor:
    _add_to[_programs(fields)](
        *(
            _parts(fields),
            _parts(fields if probes is None else probes),
            look.first,
            torch.view_as_real(canvas.view(-1)),
        ),
        *(canvas.shape[1], look.size, fields.shape[1], probes is not None, BLOCK),
    )
    return canvas


def _programs(fields: Tensor) -> tuple[int, int]:
    """Return how many patches there are, and into how many blocks of pixels each is cut."""
    return len(fields), triton.cdiv(fields.shape[-2] * fields.shape[-1], BLOCK)


def _parts(fields: Tensor) -> Tensor:
    return torch.view_as_real(fields.resolve_conj().contiguous())


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
def _pixels(N_PIXELS: tl.constexpr, BLOCK: tl.constexpr):
    """Return a patch, some of its pixels, and which of them are there."""
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    return tl.program_id(0).to(tl.int64), pixel, pixel < N_PIXELS


@triton.jit
def _on_canvas(first, patch, pixel, width, SIZE: tl.constexpr):
    """Return where pixels of a patch lie on the canvas, row after row."""
    return (tl.load(first + patch) + (pixel // SIZE) * width + pixel % SIZE).to(tl.int64)


@triton.jit
def _turned(
    spectra,
    ramp_y,
    ramp_x,
    found,
    scale,
    SIZE: tl.constexpr,
    ZERO: tl.constexpr,
    MODES: tl.constexpr,
    EACH: tl.constexpr,
    BACK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    patch, pixel, inside = _pixels(SIZE * SIZE, BLOCK)
    a, b = _load(ramp_y, patch * SIZE + (pixel // SIZE + SIZE - ZERO) % SIZE, inside)
    c, d = _load(ramp_x, patch * SIZE + (pixel % SIZE + SIZE - ZERO) % SIZE, inside)
    cosine, sine = scale * (a * c - b * d), scale * (a * d + b * c)
    if BACK:
        sine = -sine
    for mode in tl.static_range(MODES):
        own = patch * MODES + mode if EACH else mode
        real, imaginary = _load(spectra, own * SIZE * SIZE + pixel, inside)
        place = (patch * MODES + mode) * SIZE * SIZE + pixel
        _store(found, place, inside, real * cosine - imaginary * sine, real * sine + imaginary * cosine)


@triton.jit
def _lit(patches, weight, found, N_PIXELS: tl.constexpr, EACH: tl.constexpr, BLOCK: tl.constexpr):
    patch, pixel, inside = _pixels(N_PIXELS, BLOCK)
    factor = tl.load(weight + (patch * N_PIXELS if EACH else 0) + pixel, mask=inside, other=0.0)
    real, imaginary = _load(patches, patch * N_PIXELS + pixel, inside)
    _store(found, patch * N_PIXELS + pixel, inside, factor * real, factor * imaginary)


@triton.jit(do_not_specialize=["width"])
def _cut(canvas, first, found, width, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    patch, pixel, inside = _pixels(SIZE * SIZE, BLOCK)
    real, imaginary = _load(canvas, _on_canvas(first, patch, pixel, width, SIZE), inside)
    _store(found, patch * SIZE * SIZE + pixel, inside, real, imaginary)


@triton.jit
def _together(fields, probes, patch, pixel, inside, N_PIXELS: tl.constexpr, MODES: tl.constexpr, LIT: tl.constexpr):
    """Return fields, times conjugate probes if these are lit, summed over modes."""
    real, imaginary = _load(fields, patch * MODES * N_PIXELS + pixel, inside)
    if LIT or MODES > 1:
        a, b = tl.zeros_like(real), tl.zeros_like(real)
        for mode in tl.static_range(MODES):
            place = (patch * MODES + mode) * N_PIXELS + pixel
            if mode > 0:
                real, imaginary = _load(fields, place, inside)
            if LIT:
                c, d = _load(probes, place, inside)
                a += c * real + d * imaginary
                b += c * imaginary - d * real
            else:
                a += real
                b += imaginary
        real, imaginary = a, b
    return real, imaginary


@triton.jit(do_not_specialize=["width"])
def _add_to(
    fields,
    probes,
    first,
    canvas,
    width,
    SIZE: tl.constexpr,
    MODES: tl.constexpr,
    LIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    patch, pixel, inside = _pixels(SIZE * SIZE, BLOCK)
    real, imaginary = _together(fields, probes, patch, pixel, inside, SIZE * SIZE, MODES, LIT)
    target = canvas + 2 * _on_canvas(first, patch, pixel, width, SIZE)[:, None] + tl.arange(0, 2)[None, :]
    tl.atomic_add(target, tl.join(real, imaginary), mask=inside[:, None], sem="relaxed")


@triton.jit(do_not_specialize=["rows", "width"])
def _stitched(
    fields,
    probes,
    first,
    canvas,
    rows,
    width,
    MEMBERS: tl.constexpr,
    SIZE: tl.constexpr,
    MODES: tl.constexpr,
    LIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    region, place = tl.program_id(1), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = place // width, place % width
    within = y * SIZE + x
    real, imaginary = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for member in range(MEMBERS):
        patch = region * MEMBERS + member
        corner = tl.load(first + patch)
        top, left = corner // width - region * rows, corner % width
        inside = (y >= top) & (y < top + SIZE) & (x >= left) & (x < left + SIZE) & (y < rows)
        pixel = within - (top * SIZE + left)
        a, b = _together(fields, probes, patch.to(tl.int64), pixel, inside, SIZE * SIZE, MODES, LIT)
        real += a
        imaginary += b
    _store(canvas, region.to(tl.int64) * rows * width + place, y < rows, real, imaginary)


@triton.jit(do_not_specialize=["width"])
def _exit_waves(probes, first, canvas, found, width, SIZE: tl.constexpr, MODES: tl.constexpr, BLOCK: tl.constexpr):
    patch, pixel, inside = _pixels(SIZE * SIZE, BLOCK)
    real, imaginary = _load(canvas, _on_canvas(first, patch, pixel, width, SIZE), inside)
    for mode in tl.static_range(MODES):
        place = (patch * MODES + mode) * SIZE * SIZE + pixel
        a, b = _load(probes, place, inside)
        _store(found, place, inside, a * real - b * imaginary, a * imaginary + b * real)


@triton.jit
def _intensity(fields, found, N_PIXELS: tl.constexpr, MODES: tl.constexpr, BLOCK: tl.constexpr):
    patch, pixel, inside = _pixels(N_PIXELS, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for mode in tl.static_range(MODES):
        real, imaginary = _load(fields, (patch * MODES + mode) * N_PIXELS + pixel, inside)
        total += real * real + imaginary * imaginary
    tl.store(found + patch * N_PIXELS + pixel, total, mask=inside)


@triton.jit
def _intensity_slope(fields, slope, found, N_PIXELS: tl.constexpr, MODES: tl.constexpr, BLOCK: tl.constexpr):
    patch, pixel, inside = _pixels(N_PIXELS, BLOCK)
    twice = 2 * tl.load(slope + patch * N_PIXELS + pixel, mask=inside, other=0.0)
    for mode in tl.static_range(MODES):
        place = (patch * MODES + mode) * N_PIXELS + pixel
        real, imaginary = _load(fields, place, inside)
        _store(found, place, inside, twice * real, twice * imaginary)


@triton.jit
def _missing(
    counts,
    modulus,
    direction,
    found,
    N_PIXELS: tl.constexpr,
    MODES: tl.constexpr,
    EACH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    patch, pixel, inside = _pixels(N_PIXELS, BLOCK)
    own = patch if EACH else 0
    there = tl.load(modulus + own * N_PIXELS + pixel, mask=inside, other=0.0)
    more = tl.sqrt(tl.load(counts + patch * N_PIXELS + pixel, mask=inside, other=0.0)) - there
    for mode in tl.static_range(MODES):
        real, imaginary = _load(direction, (own * MODES + mode) * N_PIXELS + pixel, inside)
        _store(found, (patch * MODES + mode) * N_PIXELS + pixel, inside, more * real, more * imaginary)
