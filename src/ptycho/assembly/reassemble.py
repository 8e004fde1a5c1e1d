"""The stitching of the older interface: patch centres of equal weight, bilinear, about the centre of the positions."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex, Float64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.assembly.scatter import scatter
from ptycho.base.arrays import Positions
from ptycho.base.errors import ConfigError

EPSILON = 1e-9
BLOCK = 256


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Stitched patch centres.

    Attributes
    ----------
    numerator
        (side, side) sum of the placed patches.
    denominator
        (side, side) how often a pixel was covered.
    """

    numerator: Complex[ndarray, "side side"]
    denominator: Float64[ndarray, "side side"]

    @property
    def stitched(self) -> Complex[ndarray, "side side"]:
        """``numerator / (denominator + 1e-9)``; zero where nothing lies."""
        return (self.numerator / (self.denominator + EPSILON)).astype(self.numerator.dtype)


def reassemble(patches: Complex[ndarray, "position y x"], positions: Positions, crop: int) -> Mosaic:
    """Place the central ``crop`` x ``crop`` px of every patch and average, pixel by pixel.

    The canvas has ``crop + 2 pad`` px, ``pad`` being the largest distance from the mean position along an axis, rounded
    up to an even number; canvas pixel i lies at the mean position + i - side / 2. Every patch is spread over the four
    whole-pixel places around its own with bilinear weights, and so are the ones that count the coverage.

    Parameters
    ----------
    patches
        Object patches, (position, N, N).
    positions
        (position, 2), (y, x) px.
    crop
        Side of the centre that is used, px; even, at most N.

    Raises
    ------
    ConfigError
        ``crop`` doesn't fit the patches.
    """
    size = patches.shape[-1]
    if not 0 < crop <= size:
        raise ConfigError(f"found M={crop} px to keep of patches of {size} px, expected 1 to {size}; choose another M")
    start = size // 2 - crop // 2
    centres = patches[:, start : start + crop, start : start + crop]
    offsets = positions - positions.mean(axis=0)
    pad = 2 * math.ceil(np.abs(offsets).max() / 2)
    places = offsets + pad
    whole = np.floor(places)
    # One pixel more at the far edges takes the taps of weight zero.
    side = crop + 2 * pad
    numerator = np.zeros((side + 1, side + 1), patches.dtype)
    denominator = np.zeros((side + 1, side + 1))
    fractions = (places - whole).astype(patches.real.dtype)
    for begin in range(0, len(centres), BLOCK):
        block = slice(begin, begin + BLOCK)
        y, x = fractions[block].T
        corners = whole[block].astype(np.int64)
        scatter(numerator, _spread(centres[block], y, x), corners)
        scatter(denominator, _spread(np.ones((len(corners), crop, crop)), y, x), corners)
    return Mosaic(numerator=numerator[:side, :side], denominator=denominator[:side, :side])


def _spread(images: NDArray[Any], y: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """Return ``images`` moved by (y, x) in [0, 1), one pixel larger each way."""
    n, height, width = images.shape
    y, x = y[:, None, None], x[:, None, None]
    rows = np.zeros((n, height + 1, width), images.dtype)
    rows[:, :-1] = (1 - y) * images
    rows[:, 1:] += y * images
    spread = np.zeros((n, height + 1, width + 1), images.dtype)
    spread[:, :, :-1] = (1 - x) * rows
    spread[:, :, 1:] += x * rows
    return spread
