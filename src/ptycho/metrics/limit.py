"""The shot-noise limit of a scan, in terms of the metrics."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex64, Float
from numpy import ndarray

from ptycho.metrics.agreement import signal_to_noise
from ptycho.metrics.align import align
from ptycho.metrics.frc import Curve, fourier_ring_correlation
from ptycho.metrics.image import local_mean, phase_near
from ptycho.metrics.overlay import Overlay, Stitched, lay_over

Map = Float[ndarray, "height width"]

# Share of the object's size that errors are scaled to before they are scored, so that all of them stay small.
SMALL = 1e-3
SMOOTHING = 2.0  # px, over which squares are averaged: few errors alone say little of one pixel


@dataclass(frozen=True, eq=False)
class Limit:
    """What shot noise allows an unbiased estimate whose probe is known.

    Attributes
    ----------
    amplitude_db, phase_db
        PSNR of amplitude and phase over the region that `ptycho.metrics.summary.compare` judges, peak 1 and 1 rad, dB.
    frequency
        Fraction of Nyquist of every ring.
    ssnr
        Spectral signal-to-noise ratio of every ring: power of the object over mean power of the errors.
    frc_max
        Fourier ring correlation against the truth that follows, 1 / sqrt(1 + 1 / SSNR).
    amplitude_deviation, phase_deviation
        (height, width) on the canvas: standard deviation of a pixel's amplitude, and of its phase in rad, averaged
        over 2 px; NaN outside the judged region.
    n_solves
        Errors that were drawn.
    """

    amplitude_db: float
    phase_db: float
    frequency: Curve
    ssnr: Curve
    frc_max: Curve
    amplitude_deviation: Map
    phase_deviation: Map
    n_solves: int


def limit_of(errors: Complex64[ndarray, "sample height width"], truth: Stitched) -> Limit:
    """Return the limit that drawn errors of an object stand for.

    Every error is made small, added to the object, aligned and compared as a reconstruction is, and scaled back: the
    ambiguities that the metrics remove do not count, and amplitude and phase are linear in it.

    Parameters
    ----------
    errors
        Errors of the object on its canvas, dimensionless.
    truth
        The true object on the canvas of the scan.

    Raises
    ------
    DataError
        The scan covers no pixel, or no square of 16 px.
    """
    laid = lay_over(truth, truth.object_, truth.origin, shift=False, ramp=False, scale=False)
    box = laid.place_on(truth)
    target, mask, rectangle = laid.reference, laid.mask, laid.rectangle
    drawn = [_scored(error[box], laid) for error in errors]
    amplitude, phase = (np.sqrt(np.mean([each[i] ** 2 for each in drawn], axis=0)) for i in (1, 2))
    signal = fourier_ring_correlation(target[rectangle], target[rectangle])
    ssnr: Curve = signal_to_noise(signal, np.stack([each[0][rectangle] for each in drawn]))
    maps = [np.full(truth.object_.shape, np.nan) for _ in range(2)]
    for whole, part in zip(maps, (amplitude, phase), strict=True):
        whole[box] = np.sqrt(local_mean(part**2, mask, SMOOTHING))
    return Limit(
        amplitude_db=_db(amplitude[mask]),
        phase_db=_db(phase[mask]),
        frequency=signal.frequency,
        ssnr=ssnr,
        frc_max=1 / np.sqrt(1 + 1 / ssnr),
        amplitude_deviation=maps[0],
        phase_deviation=maps[1],
        n_solves=len(errors),
    )


def _scored(error: Complex64[ndarray, "height width"], laid: Overlay) -> tuple[ndarray, Map, Map]:
    """Return an error less the ambiguities, and what it makes of amplitude and phase."""
    target, mask = laid.reference, laid.mask
    factor = SMALL * float(np.linalg.norm(target[mask]) / np.linalg.norm(error[mask]))
    image = align(target + factor * error, target, mask).image
    return (
        (image - target) / factor,
        (np.abs(image) - np.abs(target)) / factor,
        (phase_near(image, target) - np.angle(target)) / factor,
    )


def _db(deviations: ndarray) -> float:
    return float(-10 * np.log10(np.mean(deviations**2)))
