"""What two halves of a scan say of the whole: their correlation, its limit, and how they differ."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float64
from numpy import ndarray

from ptycho.base.arrays import Mask, Object
from ptycho.metrics.frc import Curve, Frc, fourier_ring_correlation
from ptycho.metrics.overlay import Stitched, lay_over


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
    mask = np.zeros(other.object_.shape, dtype=bool)
    mask[box] = laid.mask
    difference = np.zeros(mask.shape, dtype=np.complex128)
    difference[mask] = ((image - reference) * np.exp(-1j * np.angle(reference)))[laid.mask]
    return Agreement(
        frc,
        difference,
        mask,
        # Either half has twice the noise variance of the whole; a curve of two noisy images has both noises in it.
        limit_between_halves=snr / (snr + 2),
        limit_against_truth=np.sqrt(snr / (snr + 1)),
    )


def filled(half: Stitched, whole: Stitched, mask: Mask) -> Object:
    """Return the object of a half within a mask, and outside it that of the whole in the half's phase, ramp and scale.

    Parameters
    ----------
    half, whole
        Reconstructions on one canvas.
    mask
        Pixels of it.

    Raises
    ------
    DataError
        They share no covered pixel.
    """
    laid = lay_over(whole, half.object_, half.origin, reference_coverage=half.coverage)
    found, box = laid.aligned, laid.place_on(half)
    y, x = (
        np.arange(length) - (part.start + (part.stop - part.start) // 2)
        for length, part in zip(mask.shape, box, strict=True)
    )
    phase = found.global_phase + found.phase_ramp[0] * y[:, None] + found.phase_ramp[1] * x
    outside = whole.object_ / (found.scale * np.exp(1j * phase))
    return np.where(mask, half.object_, outside).astype(np.complex64)


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
