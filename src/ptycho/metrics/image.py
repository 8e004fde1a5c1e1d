"""Pixel-by-pixel figures of merit of an aligned image, inside a mask."""

import numpy as np
from jaxtyping import Complex, Float, Shaped
from numpy import ndarray

from ptycho.base.arrays import Mask
from ptycho.base.errors import DataError, extra_missing

ROUNDING = 1e-6  # relative; variation below it is rounding of single precision
SSIM_WINDOW = 11  # px, the side of a Gaussian window of 1.5 px


def complex_nrmse(
    image: Complex[ndarray, "height width"], reference: Complex[ndarray, "height width"], mask: Mask
) -> float:
    """Return the error of a complex image relative to the reference, ||image - reference|| / ||reference||."""
    return float(np.linalg.norm((image - reference)[mask]) / np.linalg.norm(reference[mask]))


def psnr(
    image: Float[ndarray, "height width"], reference: Float[ndarray, "height width"], mask: Mask, peak: float = 1.0
) -> float:
    """Return the peak signal-to-noise ratio, 10 log10(peak^2 / mean squared error), dB; peak 1 or 1 rad, never 255."""
    mean_square = float(np.mean(np.square(image - reference)[mask]))
    return float(10 * np.log10(peak**2 / mean_square)) if mean_square > 0 else float("inf")


def pearson(image: Float[ndarray, "height width"], reference: Float[ndarray, "height width"], mask: Mask) -> float:
    """Return the correlation coefficient; 0 when one of the two is constant, which correlates with nothing."""
    one, other = (less_mean(picture[mask].astype(np.float64)) for picture in (image, reference))
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms > 0 else 0.0


def less_mean(values: Shaped[ndarray, "..."], weights: Float[ndarray, "..."] | None = None) -> ndarray:
    """Return the values less their weighted mean: zeros when they are constant up to float32 rounding."""
    rest: ndarray = values - np.average(values, weights=weights)
    return rest if np.linalg.norm(rest) > ROUNDING * np.linalg.norm(values) else np.zeros_like(rest)


def phase_near(
    image: Complex[ndarray, "height width"], reference: Complex[ndarray, "height width"]
) -> Float[ndarray, "height width"]:
    """Return the phase of the image on the turn that is nearest to the phase of the reference, rad.

    arg(image conj(reference)) + arg(reference): its difference from arg(reference) never exceeds pi.
    """
    near: Float[ndarray, "height width"] = np.angle(image * reference.conj()) + np.angle(reference)
    return near


def ssim(image: Float[ndarray, "height width"], reference: Float[ndarray, "height width"]) -> float:
    """Return the structural similarity of two rectangles, the range of values being that of the reference.

    Gaussian window of 1.5 px (Wang et al. 2004, DOI 10.1109/TIP.2003.819861). A range of 2 pi for a phase of a
    fraction of a radian would give a flat picture .9.

    Raises
    ------
    BackendNotInstalledError
        scikit-image is not installed.
    DataError
        The rectangle is smaller than the window of 11 px, or the reference is constant.
    """
    try:
        from skimage.metrics import structural_similarity
    except ModuleNotFoundError as error:
        raise extra_missing("scikit-image", "report") from error
    value_range = float(np.ptp(reference))
    if min(reference.shape) < SSIM_WINDOW or value_range == 0:
        raise DataError(
            f"found {reference.shape} px with values over a range of {value_range:g}; structural similarity needs "
            f"{SSIM_WINDOW} px a side and a reference that is not constant: compare a larger region"
        )
    return float(
        structural_similarity(
            reference, image, data_range=value_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def flatness(image: Complex[ndarray, "height width"], mask: Mask) -> tuple[float, float]:
    """Return the standard deviations of amplitude and of phase (rad): a flat answer must show as flat.

    The phase is taken around its circular mean, so that a wrap of the global phase does not count.
    """
    inside = image[mask]
    mean = inside.sum()
    turn = np.conj(mean) / abs(mean) if mean != 0 else 1.0
    return float(np.abs(inside).std()), float(np.angle(inside * turn).std())


def local_mean(values: Float[ndarray, "height width"], mask: Mask, width: float) -> Float[ndarray, "height width"]:
    """Return the mean around every pixel over a Gaussian of ``width`` px inside the mask; NaN outside it."""
    from scipy.ndimage import gaussian_filter

    total, weight = (gaussian_filter(np.where(mask, field, 0.0), width) for field in (values, np.ones(mask.shape)))
    mean: Float[ndarray, "height width"] = np.divide(total, weight, out=np.full(mask.shape, np.nan), where=mask)
    return mean
