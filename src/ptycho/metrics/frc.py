"""Fourier ring correlation: up to which detail two images agree."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from numpy import ndarray

from ptycho.base.errors import DataError
from ptycho.metrics.image import less_mean

Curve = Float64[ndarray, " ring"]
Threshold = Literal["half_bit", "one_bit"]

TAPER = 0.25  # fraction of the side over which the window rises and falls
SMALLEST_SIDE = 16  # px


@dataclass(frozen=True, eq=False)
class Frc:
    """Correlation of two images ring by ring in Fourier space, with the thresholds of information theory.

    Attributes
    ----------
    frequency
        Fraction of the Nyquist frequency: 1 is half a cycle per px.
    correlation
        Re(sum F1 conj(F2)) / sqrt(sum |F1|^2 sum |F2|^2) over each ring, -1 to 1; 0 where an image has nothing.
    half_bit, one_bit
        Correlation that half a bit and one bit of information per pixel would give.
    n_pixels
        Fourier pixels in each ring.
    shared_power
        Re(sum F1 conj(F2)) / n_pixels: the power that both images have in common, whatever noise each has of its own.
    """

    frequency: Curve
    correlation: Curve
    half_bit: Curve
    one_bit: Curve
    n_pixels: Int64[ndarray, " ring"]
    shared_power: Curve

    def crossing(self, threshold: float | Threshold) -> float:
        """Return the first frequency, in fractions of Nyquist, where the curve falls below a threshold.

        0 when it never was above, 1 when it stays above.
        """
        curves = {"half_bit": self.half_bit, "one_bit": self.one_bit}
        above = self.correlation - (curves[threshold] if isinstance(threshold, str) else threshold)
        below = np.flatnonzero(above < 0)
        if len(below) == 0:
            return 1.0
        first = int(below[0])
        if first == 0:
            return 0.0
        before, after = above[first - 1], above[first]
        step = self.frequency[first] - self.frequency[first - 1]
        return float(self.frequency[first - 1] + step * before / (before - after))

    def lowest_up_to(self, frequency: float) -> float:
        """Return the lowest correlation at or below a frequency, in fractions of Nyquist."""
        return float(self.correlation[self.frequency <= max(frequency, self.frequency[0])].min())


def fourier_ring_correlation(image1: Shaped[ndarray, "height width"], image2: Shaped[ndarray, "..."]) -> Frc:
    """Correlate two aligned images, complex or real, ring by ring.

    The largest square in the middle is taken, its mean removed and its rim tapered, so that neither the mean nor the
    border counts as agreement: against a flat image the correlation is 0. Thresholds of van Heel & Schatz 2005,
    DOI 10.1016/j.jsb.2005.05.009, for n independent Fourier pixels in a ring:
    half bit (.2071 + 1.9102 / sqrt(n)) / (1.2071 + .9102 / sqrt(n)),
    one bit (.5 + 2.4142 / sqrt(n)) / (1.5 + 1.4142 / sqrt(n)).
    The taper makes neighbours in Fourier space depend on one another, and a real image has each pixel twice; n is the
    number of pixels less that. Ring 0, the mean, is left out.

    Raises
    ------
    DataError
        The shapes differ or a side is below 16 px.
    """
    if image1.shape != image2.shape or min(image1.shape) < SMALLEST_SIDE:
        raise DataError(
            f"found images of {image1.shape} and {image2.shape} px; give two of one shape with sides of at least "
            f"{SMALLEST_SIDE} px"
        )
    side = min(image1.shape)
    window = window_of(side)
    spectra = [_spectrum(image, window) for image in (image1, image2)]
    turns = np.fft.fftfreq(side, 1 / side)
    ring = np.round(np.hypot(turns[:, None], turns)).astype(int).ravel()
    inside = slice(1, side // 2 + 1)

    def over_rings(values: ndarray) -> Curve:
        total: Curve = np.bincount(ring, weights=values.ravel())[inside]
        return total

    cross = over_rings((spectra[0] * spectra[1].conj()).real)
    power = [over_rings(np.abs(spectrum) ** 2) for spectrum in spectra]
    norm = np.sqrt(power[0] * power[1])
    n_pixels = np.bincount(ring)[inside].astype(np.int64)
    independent = n_pixels * np.sum(window**2) ** 2 / (side**2 * np.sum(window**4))
    if not (np.iscomplexobj(image1) or np.iscomplexobj(image2)):
        independent = independent / 2
    root = np.sqrt(independent)
    return Frc(
        frequency=np.arange(1, side // 2 + 1) / (side / 2),
        correlation=np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0),
        half_bit=(0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root),
        one_bit=(0.5 + 2.4142 / root) / (1.5 + 1.4142 / root),
        n_pixels=n_pixels,
        shared_power=cross / n_pixels,
    )


def window_of(side: int) -> Float64[ndarray, "side side"]:
    """Return a Tukey window: flat, with cosine flanks over ``TAPER`` of the side in all, along y and along x."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    rise = np.clip(distance / (TAPER / 2 * side), 0, 1)
    profile = 0.5 * (1 - np.cos(np.pi * rise))
    return np.outer(profile, profile)


def centre_square(image: Shaped[ndarray, "height width"]) -> ndarray:
    """Return the largest square in the middle of an image."""
    side = min(image.shape)
    top, left = ((n - side) // 2 for n in image.shape)
    return image[top : top + side, left : left + side]


def _spectrum(image: Shaped[ndarray, "height width"], window: Float64[ndarray, "side side"]) -> ndarray:
    return np.fft.fft2(window * less_mean(centre_square(image), window))
