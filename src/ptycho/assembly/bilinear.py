"""Move images and cut patches at sub-pixel places by bilinear interpolation, zero outside."""

import math
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Inexact
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.arrays import Positions


def translate(
    images: Inexact[ndarray, "image y x"], shifts: Float[ndarray, "image 2"]
) -> Inexact[ndarray, "image y x"]:
    """Move the content of every image by +shift (y, x) px: ``out(y, x) = image(y - s_y, x - s_x)``."""
    shape = (images.shape[1], images.shape[2])
    moved = [_window(image, -y, -x, shape) for image, (y, x) in zip(images, shifts.tolist(), strict=True)]
    return np.stack(moved) if moved else images.copy()


def cut(object_: Complex[ndarray, "height width"], positions: Positions, size: int) -> Complex[ndarray, "position y x"]:
    """Cut square patches out of an object: ``patch[i, j] = O(y - N // 2 + i, x - N // 2 + j)``.

    Parameters
    ----------
    object_
        Object, dimensionless.
    positions
        (position, 2), (y, x): object pixel that lands on patch index N // 2.
    size
        Side N of a patch, px.
    """
    patches = np.empty((len(positions), size, size), object_.dtype)
    for patch, (y, x) in zip(patches, positions.tolist(), strict=True):
        patch[:] = _window(object_, y - size // 2, x - size // 2, (size, size))
    return patches


def _window(image: NDArray[Any], top: float, left: float, shape: tuple[int, int]) -> NDArray[Any]:
    """Return ``image(top + i, left + j)``."""
    row, column = math.floor(top), math.floor(left)
    whole = whole_window(image, row, column, (shape[0] + 1, shape[1] + 1))
    y, x = image.real.dtype.type(top - row), image.real.dtype.type(left - column)
    rows = (1 - y) * whole[:-1] + y * whole[1:]
    window: NDArray[Any] = (1 - x) * rows[:, :-1] + x * rows[:, 1:]
    return window


def whole_window(image: NDArray[Any], top: int, left: int, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the window at whole pixels, zero where it leaves the image."""
    window = np.zeros(shape, image.dtype)
    rows = slice(max(top, 0), min(top + shape[0], image.shape[0]))
    columns = slice(max(left, 0), min(left + shape[1], image.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        window[inside] = image[rows, columns]
    return window
