"""Stitch patches into one object: weighted placement at whole pixels after a Fourier shift by the remainder."""

import numpy as np
from jaxtyping import Complex, Float, Float32, Float64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.assembly.scatter import scatter
from ptycho.base.arrays import Object, Positions
from ptycho.base.errors import DataError
from ptycho.optics.shift import shift_phase

SMALLEST_COVERAGE = 1e-6
BLOCK_PIXELS = 2**20


def stitch(
    patches: Complex[ndarray, "position y x"], positions: Positions, weight: Float[ndarray, "y x"]
) -> tuple[Object, Float32[ndarray, "height width"], Float64[ndarray, "2"]]:
    """Return the weighted mean of patches on the canvas they cover, how well it is covered, and where it lies.

    ``O = sum_j S_j (w O_j) / sum_j S_j w``, where S_j shifts by the sub-pixel remainder of position j through the
    Fourier transform, unitarily, and adds at its whole pixel. Numerator and denominator go through the same operator,
    so that equal patches give exactly their own value.

    Parameters
    ----------
    patches
        Object patches, one a position.
    positions
        (position, 2), (y, x) px: the object pixel that lands on patch index N // 2.
    weight
        Weight of a patch's pixels: the probe intensity ``sum_m |P_m|^2``, counts.

    Returns
    -------
    object_, coverage, origin
        Object, zero where the coverage is at most 1e-6 of its maximum; ``sum_j S_j w`` without its negative ripple;
        and the position (y, x) of the first canvas pixel, px.

    Raises
    ------
    DataError
        There are no patches.
    """
    size = patches.shape[-1]
    corners, remainders, shape = _places(positions, size)
    numerator = np.zeros(shape, np.complex128)
    denominator = np.zeros(shape, np.complex128)
    spectrum = np.fft.fft2(weight)
    step = max(1, BLOCK_PIXELS // size**2)
    for start in range(0, len(patches), step):
        block = slice(start, start + step)
        phase = shift_phase((size, size), remainders[block])
        scatter(numerator, np.fft.ifft2(np.fft.fft2(weight * patches[block]) * phase), corners[block])
        scatter(denominator, np.fft.ifft2(spectrum * phase), corners[block])
    coverage = np.clip(denominator.real, 0, None)
    covered = coverage > SMALLEST_COVERAGE * coverage.max()
    object_ = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=covered)
    origin = (np.floor(positions) - size // 2).min(axis=0)
    return object_.astype(np.complex64), coverage.astype(np.float32), origin


def _places(positions: Positions, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[int, int]]:
    """Return corners on the canvas, sub-pixel remainders in [0, 1), and the shape of the canvas."""
    if len(positions) == 0:
        raise DataError("found no patches to stitch, expected at least one; give positions and their patches")
    whole = np.floor(positions)
    corners = (whole - whole.min(axis=0)).astype(np.int64)
    height, width = corners.max(axis=0) + size
    return corners, positions - whole, (int(height), int(width))
