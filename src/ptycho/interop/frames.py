"""The frame that a client's object lives in, and arrays that remember what stitching must know of them.

An older client hands patches and positions to a stitching function as plain arrays. Ours are plain arrays that
remember a little more, so that the stitched object can lie where the client's own object says.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex64, Float, Float64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.acquisition.checks import LARGEST_CANVAS
from ptycho.assembly.reassemble import reassemble
from ptycho.assembly.stitch import stitch
from ptycho.base.arrays import Positions
from ptycho.base.errors import DataError

logger = logging.getLogger(__name__)

# px that the sides of an object may miss a whole number by, from rounding of metres.
WHOLE = 0.05


class FramedOffsets(ndarray):
    """Positions [x, y] px that remember the shape (height, width) of the object whose pixels they count."""

    object_shape: tuple[int, int] | None = None

    def __array_finalize__(self, source: NDArray[Any] | None) -> None:
        """Some of the positions, or a copy of them, count the pixels of the same object."""
        if isinstance(source, FramedOffsets):
            self.object_shape = source.object_shape

    def __array_wrap__(self, array: NDArray[Any], context: Any = None, return_scalar: bool = False) -> Any:
        """Positions that were computed from these count pixels of their own."""
        return np.asarray(array)


def framed(offsets: Float64[ndarray, "group 1 2 1"], object_shape: tuple[int, int]) -> FramedOffsets:
    """Return positions that remember the frame of an object."""
    view = np.array(offsets).view(FramedOffsets)
    view.object_shape = object_shape
    return view


@dataclass(frozen=True, eq=False)
class Members:
    """The patches that predicted objects of groups were merged from.

    Attributes
    ----------
    patches
        The patch of every pattern.
    relative
        Member minus the centre of its group, (y, x) px.
    light
        Sum over modes of |P|^2, counts: how much a patch knows of each of its pixels.
    """

    patches: Complex64[ndarray, "group member y x"]
    relative: Float64[ndarray, "group member 2"]
    light: Float[ndarray, "y x"]

    def part(self, groups: Any) -> "Members":
        """Return the members of some groups."""
        return Members(self.patches[groups], self.relative[groups], self.light)


class MergedPatches(ndarray):
    """Predicted objects of groups (group, y, x, 1) that remember their members; what is computed from them forgets."""

    members: Members | None = None

    def __array_finalize__(self, source: NDArray[Any] | None) -> None:
        """A copy remembers the same."""
        if isinstance(source, MergedPatches) and source.shape == self.shape:
            self.members = source.members

    def __array_wrap__(self, array: NDArray[Any], context: Any = None, return_scalar: bool = False) -> Any:
        """Patches that were computed from these are other patches."""
        return np.asarray(array)

    def __getitem__(self, key: Any) -> Any:
        """Some of the groups remember their own members; a part of every patch remembers nothing."""
        part = super().__getitem__(key)
        if isinstance(part, MergedPatches):
            whole = self.members is not None and not isinstance(key, tuple) and part.ndim == self.ndim
            part.members = self.members.part(key) if whole and self.members is not None else None
        return part


def merged(objects: Complex64[ndarray, "group y x 1"], members: Members) -> MergedPatches:
    """Return predicted objects that remember the patches they were merged from."""
    view = objects.view(MergedPatches)
    view.members = members
    return view


def reassemble_position(
    patches: Complex64[ndarray, "group y x _"], offsets: Float64[ndarray, "group 1 2 _"], crop: int
) -> Complex64[ndarray, "height width 1"]:
    """Place patches at their positions on one canvas and average.

    Plain arrays: the central ``crop`` x ``crop`` px of every patch with equal weight, on a square canvas about the mean
    position (`ptycho.assembly.reassemble`). Patches that remember the light of their probe are weighted by it, whole,
    every pattern at its own position; positions that remember an object's frame give an object of that shape in it.

    Parameters
    ----------
    patches
        Objects of groups, channel-last.
    offsets
        Positions of the groups, [x, y] px: the object pixel that lands on patch index N // 2.
    crop
        Side of the centre that plain patches are cut to, px.

    Raises
    ------
    DataError
        There are not as many positions as patches.
    """
    if len(patches) != len(offsets):
        raise DataError(
            f"found {len(patches)} objects and {len(offsets)} positions, expected one position an object; give both of "
            "the same groups"
        )
    centres = np.asarray(offsets, np.float64).reshape(len(offsets), 2)[:, ::-1]
    shape = offsets.object_shape if isinstance(offsets, FramedOffsets) else None
    members = patches.members if isinstance(patches, MergedPatches) else None
    if members is None:
        if shape is not None:
            logger.warning(
                "these objects were computed from predicted ones and know neither their light nor their members: their "
                "central %d px are averaged on a canvas about the mean position, not in the frame of the scan's object",
                crop,
            )
        return reassemble(np.asarray(patches)[..., 0], np.ascontiguousarray(centres), crop).stitched[..., None]
    size = patches.shape[1]
    positions = (centres[:, None] + members.relative).reshape(-1, 2)
    canvas, _, origin = stitch(members.patches.reshape(-1, size, size), positions, members.light)
    if shape is not None:
        canvas = on_grid(canvas, origin, shape)
        if not canvas.any():
            logger.warning("no position lies on the scan's object of %d x %d px: the image is empty", *shape)
    return canvas[..., None]


def on_grid(
    object_: Complex64[ndarray, "a b"], origin: NDArray[Any], shape: tuple[int, int]
) -> Complex64[ndarray, "height width"]:
    """Lay an object onto a grid of another shape; what lies outside is cut, what is missing is zero.

    Parameters
    ----------
    object_
        Object whose first pixel lies at ``origin`` (y, x) of the grid, px; whole numbers.
    shape
        (height, width) of the grid, px.
    """
    laid = np.zeros(shape, object_.dtype)
    first = np.rint(origin).astype(int)
    (top, left), (bottom, right) = first, first + object_.shape
    inside = laid[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    height, width = inside.shape
    inside[...] = object_[max(-top, 0) : max(-top, 0) + height, max(-left, 0) : max(-left, 0) + width]
    return laid


def centred_shape(positions: Positions) -> tuple[int, int]:
    """Return the shape (height, width) px of the client's object when its middle is the middle of the scan.

    Positions count from the object's first pixel, so the middle of the scan, (min + max) / 2, is the middle of an
    object of side L, (L - 1) / 2, when L = min + max + 1. Ptychodus lays its own objects out like that and puts the
    middle of a reconstruction where the middle of its object was, without saying how large that was. When the scan lies
    elsewhere on the object this gives no whole number, or a wrong one, and the reconstruction appears beside its place.

    Parameters
    ----------
    positions
        (position, 2), (y, x) px, as the client counts them: a position names the middle of a patch.

    Raises
    ------
    DataError
        No object of a usable size has its middle there.
    """
    sides = positions.min(axis=0) + positions.max(axis=0) + 1
    height, width = (int(side) for side in np.rint(sides))
    if min(height, width) < 1 or height * width > LARGEST_CANVAS:
        raise DataError(
            f"found positions that are centred on an object of {height} x {width} px, expected one that can hold the "
            "scan; count positions from the object's first pixel"
        )
    if (np.abs(sides - np.rint(sides)) > WHOLE).any():
        logger.warning(
            "the scan isn't centred on its object, whose shape isn't known: for the middle of the scan it would be "
            "%.2f x %.2f px; the reconstruction has %d x %d px and may appear beside its place: centre the object on "
            "the scan",
            *sides,
            height,
            width,
        )
    return height, width
