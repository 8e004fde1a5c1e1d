"""What two halves of a scan say of the whole: their correlation, its limit, and how far they disagree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from ptycho.metrics.frc import Curve, Frc, centre_square, fourier_ring_correlation, window_of
from ptycho.metrics.image import local_rms
from ptycho.metrics.overlay import Stitched, lay_over

Map = Float[ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of two independent reconstructions, each from half of the frames of a scan.

    Attributes
    ----------
    frc
        Fourier ring correlation between the halves: consistency at half the dose.
    deviation
        (height, width) on the canvas of the halves: local rms of half their difference, which estimates the standard
        deviation of a complex pixel of the whole scan's object, dimensionless; NaN where they can't be compared.
    limit_between_halves, limit_against_truth
        FRC that shot noise alone allows, for the halves and for the whole scan's object against the true one; an
        estimate of the bound for a known probe, after `signal_to_noise`.
    """

    frc: Frc
    deviation: Map
    limit_between_halves: Curve
    limit_against_truth: Curve


def agreement(half: Stitched, other: Stitched, shot_noise: Map) -> Agreement:
    """Compare two halves after removing what ptychography leaves free.

    Parameters
    ----------
    half, other
        Reconstructions of the two halves on one canvas.
    shot_noise
        Standard deviation that photons allow for a complex pixel of the whole scan's object, on the same canvas.

    Raises
    ------
    DataError
        They share too little: no pixel, or no square of 16 px.
    """
    laid = lay_over(half, other.object_, other.origin, reference_coverage=other.coverage)
    image, reference = laid.aligned.image[laid.rectangle], laid.reference[laid.rectangle]
    frc = fourier_ring_correlation(image, reference)
    box = laid.place_on(other)
    snr = signal_to_noise(frc, shot_noise[box][laid.rectangle])
    deviation = np.full(other.object_.shape, np.nan)
    deviation[box] = local_rms(np.abs(laid.aligned.image - laid.reference) / 2, laid.mask)
    return Agreement(
        frc,
        deviation,
        # Either half has twice the noise variance of the whole; a curve of two noisy images has both noises in it.
        limit_between_halves=snr / (snr + 2),
        limit_against_truth=np.sqrt(snr / (snr + 1)),
    )


def signal_to_noise(frc: Frc, shot_noise: Map) -> Float64[ndarray, " ring"]:
    """Return the spectral signal-to-noise ratio of the whole scan's object that shot noise allows, ring by ring.

    The signal is the power that both halves share, so that no noise counts as signal. The noise is that of
    independent pixels, sum w^2 sigma^2 with the window w of the FRC: white. FRC_max = 1 / sqrt(1 + 1 / SSNR) against
    the truth and 1 / (1 + 2 / SSNR) between halves of the dose follow from it.

    Parameters
    ----------
    frc
        Correlation of two halves.
    shot_noise
        Standard deviation of a complex pixel of the whole scan's object, in the region of the correlation.
    """
    square = centre_square(shot_noise)
    noise = float(np.sum((window_of(len(square)) * square) ** 2))
    ratio: Float64[ndarray, " ring"] = np.maximum(frc.shared_power, 0) / noise
    return ratio
