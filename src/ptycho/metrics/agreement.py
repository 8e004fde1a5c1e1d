"""What two halves of a scan say of the whole: their correlation, its limit, and how they differ."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float64
from numpy import ndarray

from ptycho.base.arrays import Mask
from ptycho.metrics.frc import Curve, Frc, fourier_ring_correlation
from ptycho.metrics.overlay import Overlay, Stitched, lay_over


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of two independent reconstructions, each from half of the frames of a scan.

    Attributes
    ----------
    frc
        Fourier ring correlation between the halves: consistency at half the dose.
    difference
        (height, width) on the canvas of the halves: one less the other after alignment, in the phase of the other, so
        that the real part is of amplitudes and the imaginary part of phases times amplitude; 0 outside ``mask``.
    mask
        Where it was seen well enough to be judged.
    limit_between_halves, limit_against_truth
        FRC that shot noise alone allows, for the halves and for the whole scan's object against the true one; the
        bound for a known probe, after `signal_to_noise`.
    """

    frc: Frc
    difference: Complex[ndarray, "height width"]
    mask: Mask
    limit_between_halves: Curve
    limit_against_truth: Curve


def agreement(half: Stitched, other: Stitched, errors: Complex[ndarray, "sample height width"]) -> Agreement:
    """Compare two halves after removing what ptychography leaves free.

    Parameters
    ----------
    half, other
        Reconstructions of the two halves on one canvas.
    errors
        Errors that shot noise makes in the whole scan's object, drawn, on the same canvas.

    Raises
    ------
    DataError
        They share too little: no pixel, or no square of 16 px.
    """
    laid = lay_over(half, other.object_, other.origin, reference_coverage=other.coverage)
    image, reference = laid.aligned.image, laid.reference
    frc = fourier_ring_correlation(image[laid.rectangle], reference[laid.rectangle])
    box = laid.place_on(other)
    snr = signal_to_noise(frc, np.stack([error[box][laid.rectangle] for error in errors]))
    difference, mask = _on_canvas(laid, other)
    return Agreement(
        frc,
        difference,
        mask,
        # Either half has twice the noise variance of the whole; a curve of two noisy images has both noises in it.
        limit_between_halves=snr / (snr + 2),
        limit_against_truth=np.sqrt(snr / (snr + 1)),
    )


def apart(one: Stitched, other: Stitched) -> tuple[Complex[ndarray, "height width"], Mask]:
    """Return one object less another on its canvas after alignment, in the phase of the other, and where it is known.

    The real part is of amplitudes, the imaginary part of phases times amplitude; 0 outside the mask.

    Raises
    ------
    DataError
        They share no covered pixel.
    """
    return _on_canvas(lay_over(one, other.object_, other.origin, reference_coverage=other.coverage), other)


def _on_canvas(laid: Overlay, other: Stitched) -> tuple[Complex[ndarray, "height width"], Mask]:
    mask = np.zeros(other.object_.shape, dtype=bool)
    mask[laid.place_on(other)] = laid.mask
    difference = np.zeros(mask.shape, dtype=np.complex128)
    turned = (laid.aligned.image - laid.reference) * np.exp(-1j * np.angle(laid.reference))
    difference[mask] = turned[laid.mask]
    return difference, mask


def signal_to_noise(frc: Frc, errors: Complex[ndarray, "sample height width"]) -> Float64[ndarray, " ring"]:
    """Return the spectral signal-to-noise ratio of the whole scan's object that shot noise allows, ring by ring.

    The signal is the power that both halves share, so that no noise counts as signal; the noise is the mean power of
    the drawn errors. FRC_max = 1 / sqrt(1 + 1 / SSNR) against the truth and 1 / (1 + 2 / SSNR) between halves of the
    dose follow from it.

    Parameters
    ----------
    frc
        Correlation of two halves.
    errors
        Errors that shot noise makes in the whole scan's object, in the region of the correlation.
    """
    noise = np.mean([fourier_ring_correlation(error, error).shared_power for error in errors], axis=0)
    ratio: Float64[ndarray, " ring"] = np.maximum(frc.shared_power, 0) / noise
    return ratio
