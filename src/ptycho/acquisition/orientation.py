"""How the axes of a scan lie to those of its patterns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.blocks import changed
from ptycho.base.mapped import rows_of


def in_detector_frame(acquisition: Acquisition, *, flip_x: bool, flip_y: bool, transpose: bool) -> Acquisition:
    """Return the scan with its positions in the axes of its patterns: x and y negated when flipped, then exchanged.

    A true object belongs to the former frame and is left out when anything changes; labels belong to their patterns
    and stay. An object reconstructed from a transposed scan is in the axes of the patterns: transpose it to have it in
    those of the scan.
    """
    if not (flip_x or flip_y or transpose):
        return acquisition
    positions = acquisition.positions * [-1 if flip_y else 1, -1 if flip_x else 1]
    if transpose:
        positions = np.ascontiguousarray(positions[:, ::-1])
    return replace(acquisition, positions=positions, object_=None)


def with_turned_patterns(
    acquisition: Acquisition, *, flip_x: bool, flip_y: bool, transpose: bool, scratch: Path | None = None
) -> Acquisition:
    """Return the scan with its patterns in the axes of its positions: columns and rows mirrored, then exchanged.

    All that lies in the axes of the patterns goes with them: mask, probe and true patches. Positions and object stay.
    A mirror keeps index N // 2 in place, i to (N - i) mod N, so that zero frequency stays where it belongs and a
    mirrored probe has the mirrored far field. Large patterns that are turned lie in a file in the folder ``scratch``,
    where there is one.
    """

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        for axis, flip in ((-1, flip_x), (-2, flip_y)):
            if flip:
                array = np.roll(np.flip(array, axis), 1 - array.shape[axis] % 2, axis)
        return np.ascontiguousarray(np.swapaxes(array, -1, -2)) if transpose else array

    if not (flip_x or flip_y or transpose):
        return acquisition
    return replace(
        acquisition,
        patterns=changed(
            acquisition.patterns,
            lambda rows: turned(rows_of(acquisition.patterns, rows)),
            acquisition.patterns.shape,
            scratch,
        ),
        mask=turned(acquisition.mask),
        probe=turned(acquisition.probe),
        labels=None if acquisition.labels is None else turned(acquisition.labels),
    )
