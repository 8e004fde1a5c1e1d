"""Add patches to a canvas at whole pixels: what every stitching ends with."""

from typing import Any

from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray


def scatter(canvas: NDArray[Any], patches: NDArray[Any], corners: Int64[ndarray, "position 2"]) -> None:
    """Add every patch to ``canvas`` (height, width), in place, its first pixel at its corner (row, column)."""
    height, width = patches.shape[1:]
    for patch, (row, column) in zip(patches, corners.tolist(), strict=True):
        canvas[row : row + height, column : column + width] += patch
