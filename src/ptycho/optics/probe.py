"""The probe: its modes, its support, its normalisation and its size."""

import numpy as np
from jaxtyping import Float64, Shaped
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.arrays import Mask, Probe
from ptycho.base.errors import DataError

LARGEST = 1e15  # sqrt(counts); its square is a number in single precision still


def probe_modes(probe: Shaped[ndarray, "..."], scale: float = 1.0) -> Probe:
    """Return ``scale`` times a probe given as (y, x), (y, x, 1) or (mode, y, x), as modes (mode, y, x) complex64.

    The product is taken in double precision and rounded once.

    Raises
    ------
    DataError
        The shape is none of these, the array isn't numeric, or a value isn't finite.
    """
    if probe.dtype.kind not in "iufc":
        raise DataError(f"found a probe of type {probe.dtype}, expected complex numbers; store probeGuess as complex64")
    if probe.ndim == 3 and probe.shape[2] == 1 and probe.shape[0] == probe.shape[1]:
        probe = probe[:, :, 0]
    modes = probe[None] if probe.ndim == 2 else probe
    if modes.ndim != 3 or 0 in modes.shape or modes.shape[1] != modes.shape[2]:
        raise DataError(f"found a probe of shape {probe.shape}, expected (N, N), (N, N, 1) or (mode, N, N); reshape it")
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.ascontiguousarray(modes.astype(np.complex128) * scale, dtype=np.complex64)
    if not np.isfinite(scaled).all():
        raise DataError("found NaN or infinity in the probe, expected finite values; correct probeGuess")
    largest = float(np.abs(scaled).max())
    if largest > LARGEST:
        raise DataError(f"found probe values up to {largest:g}, expected at most {LARGEST:g}; correct probeGuess")
    return scaled


def support_mask(size: int) -> Mask:
    """Return the circular support of radius N // 4 px about the half-pixel centre (N - 1) / 2."""
    axis = np.arange(size) - size // 2 + 0.5
    inside: NDArray[np.bool_] = np.hypot(axis[:, None], axis[None, :]) < size // 4
    return inside


def default_probe(size: int) -> NDArray[np.float64]:
    """Return the probe of the older interface for scans without one: a disk with soft edges, peak 1, (y, x).

    The outer product of a Gaussian window of standard deviation N / (0.7 pi^2) px with itself, cut at one half,
    smoothed by a Gaussian of 1 px, plus 1e-9.
    """
    from scipy.ndimage import gaussian_filter

    axis = np.arange(size) - (size - 1) / 2
    window = np.exp(-0.5 * (axis / (size / (0.7 * np.pi**2))) ** 2)
    disk = (np.outer(window, window) > 0.5).astype(np.float64)
    soft: NDArray[np.float64] = gaussian_filter(disk, sigma=1) + 1e-9
    return soft


def back_projected_probe(mean_pattern: Float64[ndarray, "y x"]) -> Probe:
    """Return the probe that a mean pattern suggests: the wave whose far field is its root, at phase zero everywhere.

    ``F^-1[sqrt(I)]`` about index N // 2; its power is the counts of the pattern. As wide as the light allows at best:
    a defocus is not seen.
    """
    wave = np.fft.ifft2(np.fft.ifftshift(np.sqrt(mean_pattern)), norm="ortho")
    return probe_modes(np.fft.fftshift(wave))


def normalised_probe(probe: Probe, probe_scale: float) -> Probe:
    """Return the probe divided by ``probe_scale`` times the mean of its amplitude inside the support.

    ``P / (probe_scale mean_{y,x} |M P|)`` with the support mask M; the mean runs over all N^2 pixels and all modes,
    and the probe outside the support stays.

    Raises
    ------
    DataError
        The probe is zero inside its support.
    """
    mean = float(np.abs(probe * support_mask(probe.shape[-1])).mean(dtype=np.float64))
    if mean == 0:
        raise DataError("found a probe that is zero inside its support, expected light there; centre the probe")
    return (probe / (probe_scale * mean)).astype(np.complex64)


def probe_intensity(probe: Probe) -> NDArray[np.float64]:
    """Return ``sum_m |P_m|^2``, (y, x) float64, counts."""
    squares = np.square(probe.real, dtype=np.float64) + np.square(probe.imag, dtype=np.float64)
    total: NDArray[np.float64] = squares.sum(axis=0)
    return total


def probe_diameter(probe: Probe) -> float:
    """Return the 4-sigma diameter of the probe's intensity, px (ISO 11146); 0 for no light.

    Four times the root mean square distance from the centre of mass, in the mean of y and x. A uniform disk gives its
    own diameter, which is what the linear overlap of Bunk et al. refers to,
    https://doi.org/10.1016/j.ultramic.2007.08.003; a halo makes it larger.
    """
    light = probe_intensity(probe)
    total = light.sum()
    if total == 0:
        return 0.0
    size = len(light)
    places = np.indices((size, size), dtype=np.float64) - size // 2
    weight = light / total
    centre = np.sum(weight * places, axis=(1, 2), keepdims=True)
    variance = np.sum(weight * np.square(places - centre), axis=(1, 2))
    return float(4 * np.sqrt(variance.mean()))
