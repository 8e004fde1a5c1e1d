"""Remove what ptychography leaves free: a complex factor, a phase ramp, a small shift."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float64
from numpy import ndarray

from ptycho.base.arrays import Mask
from ptycho.base.errors import DataError
from ptycho.metrics.fourier import Field, fourier_shift, slopes

Pair = Float64[ndarray, "2"]

SEARCH_STEP = 0.25  # px between the shifts of the first search
MOST_STEPS = 12  # Gauss-Newton steps; three or four are usual
COLLINEAR = 1e-10  # smallest singular value that counts: a shift of a featureless image can't be told from its factor
GAIN = 1e-9  # relative; what lowers the error by less is rounding
SMALL = 1e-7  # px and rad/px; a step below it ends the refinement


@dataclass(frozen=True, eq=False)
class Aligned:
    """An image brought onto a reference, and the ambiguities that it had.

    The image was close to scale exp(i (global_phase + phase_ramp . (r - r_c))) reference(r - shift), where r_c is
    the pixel (height // 2, width // 2).

    Attributes
    ----------
    image
        (height, width) complex128, the image without them.
    scale
        Factor on the amplitude.
    global_phase
        Phase at r_c, rad.
    phase_ramp
        (2,) (y, x), rad/px.
    shift
        (2,) (y, x), px.
    """

    image: Field
    scale: float
    global_phase: float
    phase_ramp: Pair
    shift: Pair


def align(
    image: Complex[ndarray, "height width"],
    reference: Complex[ndarray, "..."],
    mask: Mask,
    *,
    shift: bool = True,
    ramp: bool = True,
    scale: bool = True,
    max_shift: float = 2.0,
) -> Aligned:
    """Bring an image onto a reference by least squares over the pixels of a mask.

    Minimises sum |c exp(-i k . r) image(r + s) - reference(r)|^2. The ramp k starts at the peak of the spectrum of
    image times conj(reference), the shift s at the peak of the up-sampled cross-correlation; Gauss-Newton steps then
    refine all of them together, with c in closed form. Whatever does not lower the sum is not taken.

    Parameters
    ----------
    image, reference
        Complex transmission on the same pixels.
    mask
        Pixels to compare.
    shift, ramp, scale
        Which ambiguities to remove besides the global phase, which always is.
    max_shift
        Largest shift to look for in y and in x, px.

    Raises
    ------
    DataError
        The shapes differ, the mask is empty, or the image or the reference is zero or not finite within it.
    """
    _check(image, reference, mask)
    problem = _Problem(image.astype(np.complex128), reference.astype(np.complex128), mask, scale)
    best = problem.fit(np.zeros(2), np.zeros(2))
    if ramp:
        best = _better(best, problem.fit(problem.ramp_start(), best.shift))
    if shift:
        best = _better(best, problem.fit(best.ramp, problem.shift_start(best, max_shift)))
    for _ in range(MOST_STEPS if shift or ramp else 0):
        ramp_step, shift_step = problem.newton_step(best, ramp=ramp, shift=shift)
        trial = problem.fit(best.ramp + ramp_step, np.clip(best.shift + shift_step, -max_shift, max_shift))
        if _better(best, trial) is best:
            break
        best = trial
        if max(np.abs(ramp_step).max(), np.abs(shift_step).max()) < SMALL:
            break
    phase = -np.angle(best.factor) - best.ramp @ best.shift
    return Aligned(
        image=best.image,
        scale=float(1 / np.abs(best.factor)),
        global_phase=float(np.angle(np.exp(1j * phase))),
        phase_ramp=best.ramp,
        shift=best.shift,
    )


@dataclass(frozen=True, eq=False)
class _Fit:
    """The image corrected for a ramp and a shift, with the best factor: factor exp(-i ramp . r) image(r + shift)."""

    ramp: Pair
    shift: Pair
    factor: complex
    image: Field
    error: float


@dataclass(frozen=True, eq=False)
class _Problem:
    image: Field
    reference: Field
    mask: Mask
    scale: bool

    def fit(self, ramp: Pair, shift: Pair) -> _Fit:
        y, x = _offsets(self.mask.shape)
        moved = fourier_shift(self.image, -shift) * np.exp(-1j * ramp[0] * y) * np.exp(-1j * ramp[1] * x)
        inside, target = moved[self.mask], self.reference[self.mask]
        factor = complex(np.vdot(inside, target) / np.vdot(inside, inside))
        if not self.scale:
            factor = complex(np.exp(1j * np.angle(factor)))
        residual = factor * inside - target
        return _Fit(ramp, shift, factor, factor * moved, float(np.vdot(residual, residual).real))

    def ramp_start(self) -> Pair:
        """Return the peak of the spectrum of image times conj(reference), zero-padded twice, in rad/px."""
        product = np.where(self.mask, self.image * self.reference.conj(), 0)
        shape = tuple(2 * n for n in product.shape)
        peak = np.unravel_index(np.argmax(np.abs(np.fft.fft2(product, shape))), shape)
        return np.array([2 * np.pi * np.fft.fftfreq(n)[i] for i, n in zip(peak, shape, strict=True)])

    def shift_start(self, fit: _Fit, max_shift: float) -> Pair:
        """Return the peak, on a grid of a quarter of a pixel, of the cross-correlation within the mask."""
        n_steps = int(max_shift / SEARCH_STEP)
        shifts = SEARCH_STEP * np.arange(-n_steps, n_steps + 1)
        spectra = [
            np.fft.fft2(np.where(self.mask, field - field[self.mask].mean(), 0))
            for field in (fit.image, self.reference)
        ]
        wave_y, wave_x = (np.exp(2j * np.pi * np.outer(shifts, np.fft.fftfreq(n))) for n in self.mask.shape)
        correlation = (wave_y @ (spectra[0] * spectra[1].conj()) @ wave_x.T).real
        peak = np.unravel_index(np.argmax(correlation), correlation.shape)
        start: Pair = fit.shift + shifts[list(peak)]
        return start

    def newton_step(self, fit: _Fit, *, ramp: bool, shift: bool) -> tuple[Pair, Pair]:
        """Return the Gauss-Newton changes of ramp and shift, the factor being free."""
        y, x = (np.broadcast_to(offsets, self.mask.shape) for offsets in _offsets(self.mask.shape))
        columns = [1j * fit.image, fit.image] if self.scale else [1j * fit.image]
        n_factor = len(columns)
        if ramp:
            columns += [-1j * y * fit.image, -1j * x * fit.image]
        if shift:
            columns += list(slopes(fit.image))
        inside = [column[self.mask] for column in columns]
        residual = (self.reference - fit.image)[self.mask]
        gram = np.array([[np.vdot(a, b).real for b in inside] for a in inside])
        size = np.sqrt(np.diag(gram))
        size[size == 0] = 1.0  # a constant image has no slope, and then no step
        right = np.array([np.vdot(column, residual).real for column in inside]) / size
        step = (np.linalg.lstsq(gram / np.outer(size, size), right, rcond=COLLINEAR)[0] / size)[n_factor:]
        return (step[:2] if ramp else np.zeros(2)), (step[-2:] if shift else np.zeros(2))


def _better(one: _Fit, other: _Fit) -> _Fit:
    return other if other.error < (1 - GAIN) * one.error else one


def _offsets(shape: tuple[int, ...]) -> tuple[Float64[ndarray, "height 1"], Float64[ndarray, "width"]]:
    height, width = shape
    return np.arange(height, dtype=np.float64)[:, None] - height // 2, np.arange(width, dtype=np.float64) - width // 2


def _check(image: Complex[ndarray, "..."], reference: Complex[ndarray, "..."], mask: Mask) -> None:
    if not image.shape == reference.shape == mask.shape:
        raise DataError(
            f"found image {image.shape}, reference {reference.shape} and mask {mask.shape}; give one shape for all"
        )
    if not mask.any():
        raise DataError("the mask is empty; give a region that image and reference both cover")
    for name, field in (("image", image), ("reference", reference)):
        if not np.isfinite(field).all() or not field[mask].any():
            raise DataError(f"the {name} is zero within the mask or not finite; give a complex transmission")
