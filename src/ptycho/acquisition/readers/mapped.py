"""Read the documented npz layout for older clients with its patterns mapped, whatever their size."""

from pathlib import Path

import numpy as np

from ptycho.acquisition.build import align_frames
from ptycho.acquisition.readers.archive import open_archive
from ptycho.acquisition.readers.npz import companions, patterns_key
from ptycho.acquisition.scan_arrays import ScanArrays
from ptycho.base.blocks import blocks, in_file


def mapped_arrays(path: Path, folder: Path) -> ScanArrays:
    """Return the arrays of a file in the documented npz layout, with its patterns mapped and read-only.

    Patterns that are stored uncompressed, frame after frame, are mapped where they are. Others are unpacked, block by
    block, into a file in ``folder`` that goes when it is no longer used. True patches (``Y``, ``label``) are left out.

    Parameters
    ----------
    path
        npz file; patterns (n, N, N), (n, N, N, 1) or (N, N, n). An npz.bz2 is unpacked in memory first.
    folder
        For the maps.

    Raises
    ------
    DataError
        The file can't be used.
    OutputError
        The map can't be written.
    """
    with open_archive(path) as archive:
        key = patterns_key(archive)
        layout, n_positions = archive.layout(key), len(archive["xcoords"].ravel())
        # A view that holds one number says what is wrong before patterns are unpacked.
        align_frames(np.broadcast_to(np.zeros((), layout.dtype), layout.shape), n_positions)
        patterns = align_frames(archive.mapped(key, folder), n_positions)
        if patterns.strides[0] < patterns[0].nbytes:
            # One pixel of all patterns after the other: no pattern lies in one piece.
            parts = (block for _, block in blocks(patterns))
            patterns = in_file(folder, parts, patterns.shape, patterns.dtype)
        return companions(archive, patterns, labels=None)
