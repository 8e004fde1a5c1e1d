"""Where a reconstruction deserves to be judged: the covered region and the largest rectangle inside it."""

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

from ptycho.base.arrays import Mask

COARSE_SIDE = 256  # cells a side of the grid on which the rectangle is sought


def typical_light(light: Float[ndarray, "height width"]) -> float:
    """Return the median light of the pixels above 1 % of the brightest, counts; 0 where there is no light.

    Most of a canvas may be dark, or lie in the faint skirts of a probe: these pixels don't count.
    """
    top = light.max(initial=0)
    return float(np.median(light[light > 0.01 * top])) if top > 0 else 0.0


def covered(coverage: Float[ndarray, "height width"], min_coverage: float) -> Mask:
    """Return the pixels whose coverage reaches a fraction of the typical one."""
    reached: Mask = coverage >= min_coverage * typical_light(coverage)
    return reached & (coverage > 0)


def eroded(mask: Mask, width: int) -> Mask:
    """Return the mask without its outer ``width`` px; the border of the array is a rim too."""
    from scipy.ndimage import binary_erosion

    return np.asarray(binary_erosion(mask, np.ones((3, 3), dtype=bool), iterations=width), dtype=bool)


def extended(image: Shaped[ndarray, "height width"], mask: Mask) -> ndarray:
    """Return the image with every pixel outside the mask replaced by the nearest one inside."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    filled: ndarray = image[tuple(nearest)]
    return filled


def bounding_box(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns that hold the mask, with a margin in px where the array has it."""
    box = []
    for axis, length in zip((1, 0), mask.shape, strict=True):
        inside = np.flatnonzero(mask.any(axis=axis))
        box.append(slice(max(int(inside[0]) - margin, 0), min(int(inside[-1]) + 1 + margin, length)))
    return box[0], box[1]


def largest_rectangle(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and columns of the largest rectangle inside the mask; empty when the mask is.

    Masks above 256 px a side are searched in whole cells of several px.
    """
    cell = -(-max(mask.shape) // COARSE_SIDE)
    height, width = (n // cell for n in mask.shape)
    cells = mask[: height * cell, : width * cell].reshape(height, cell, width, cell).all(axis=(1, 3))
    depth = np.zeros(width, dtype=int)  # px of mask above and including this row
    best, area = (slice(0, 0), slice(0, 0)), 0
    for bottom, row in enumerate(np.atleast_2d(cells)):
        depth = (depth + 1) * row
        for top_depth, left, right in _rectangles_below(depth.tolist()):
            if top_depth * (right - left) > area:
                area = top_depth * (right - left)
                best = (
                    slice((bottom + 1 - top_depth) * cell, (bottom + 1) * cell),
                    slice(left * cell, right * cell),
                )
    return best


def _rectangles_below(depth: list[int]) -> list[tuple[int, int, int]]:
    """Return (height, left, right) of every widest rectangle under a histogram."""
    found: list[tuple[int, int, int]] = []
    open_: list[tuple[int, int]] = []  # (left, height), heights rising
    for column, height in enumerate([*depth, 0]):
        left = column
        while open_ and open_[-1][1] >= height:
            left, tall = open_.pop()
            found.append((tall, left, column))
        open_.append((left, height))
    return found
