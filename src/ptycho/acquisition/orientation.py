"""How the axes of a scan lie to those of its patterns."""

from dataclasses import replace

import numpy as np

from ptycho.acquisition.acquisition import Acquisition


def in_detector_frame(acquisition: Acquisition, *, flip_x: bool, flip_y: bool, transpose: bool) -> Acquisition:
    """Return the scan with its positions in the axes of its patterns: x and y negated when flipped, then exchanged.

    A true object belongs to the former frame and is left out when anything changes; labels belong to their patterns
    and stay. An object reconstructed from a
    transposed scan is in the axes of the patterns: transpose it to have it in those of the scan.
    """
    if not (flip_x or flip_y or transpose):
        return acquisition
    positions = acquisition.positions * [-1 if flip_y else 1, -1 if flip_x else 1]
    if transpose:
        positions = np.ascontiguousarray(positions[:, ::-1])
    return replace(acquisition, positions=positions, object_=None)
