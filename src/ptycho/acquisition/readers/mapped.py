"""Read a scan larger than memory: its patterns stay in a file and are mapped, page by page as they are used."""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.build import align_frames
from ptycho.acquisition.readers.archive import Archive, Layout, open_archive
from ptycho.acquisition.readers.npz import companions, patterns_key
from ptycho.acquisition.scan_arrays import ScanArrays
from ptycho.base.atomic import atomic_path, write_text
from ptycho.base.errors import OutputError

BLOCK = 2**22  # bytes in memory while patterns are unpacked


def mapped_arrays(path: Path, folder: Path) -> ScanArrays:
    """Return the arrays of a file in the documented npz layout, with its patterns mapped and read-only.

    Patterns that are stored uncompressed, frame after frame, are mapped where they are. Others are unpacked once, block
    by block, into ``folder``, beside a manifest of the file that they come from; when that file has changed they are
    unpacked again. True patches (``Y``, ``label``) are left out.

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
        # A view that holds one number finds the frames, and says what is wrong, without the patterns.
        shape = align_frames(np.broadcast_to(np.zeros((), layout.dtype), layout.shape), n_positions).shape
        place = archive.place(key)
        if place is not None and _frame_after_frame(layout, n_positions):
            patterns: NDArray[Any] = np.memmap(path, layout.dtype, "r", place, shape)
        else:
            patterns = _unpacked(archive, key, path, folder, shape)
        # A Fortran array runs along the columns of a pattern first.
        return companions(archive, np.swapaxes(patterns, 1, 2) if layout.fortran else patterns, labels=None)


def _frame_after_frame(layout: Layout, n_positions: int) -> bool:
    """Say whether the file holds one whole pattern after the other, rather than one pixel of all patterns."""
    return (layout.shape[0] == n_positions) != layout.fortran


def _unpacked(archive: Archive, key: str, path: Path, folder: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    identity = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    target = folder / f"{path.stem}-{identity}.npy"
    manifest = target.with_suffix(".json")
    layout, source = archive.layout(key), path.stat()
    facts = {
        "file": path.name,
        "bytes": source.st_size,
        "modified_ns": source.st_mtime_ns,
        "key": key,
        "map_bytes": layout.nbytes,
    }
    if not _is_current(target, manifest, facts):
        with atomic_path(target) as partial:
            _unpack(archive, key, partial, shape)
        write_text(manifest, json.dumps(facts, indent=2))
    mapped: NDArray[Any] = np.load(target, mmap_mode="r", allow_pickle=False)
    return mapped


def _is_current(target: Path, manifest: Path, facts: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(manifest.read_text()) == facts and target.stat().st_size > facts["map_bytes"])
    except (OSError, ValueError, RecursionError):
        return False


def _unpack(archive: Archive, key: str, target: Path, shape: tuple[int, ...]) -> None:
    layout = archive.layout(key)
    free = shutil.disk_usage(target.parent).free
    if free < layout.nbytes:
        # A map that outgrows the disk while it is written ends the whole program.
        raise OutputError(
            f"{target.parent} has {free / 2**30:.1f} GiB free; expected {layout.nbytes / 2**30:.1f} for the patterns "
            "of the scan; free some space or choose another folder"
        )
    out = np.lib.format.open_memmap(target, mode="w+", dtype=layout.dtype, shape=shape)
    n_positions, n_pixels = shape[0], math.prod(shape[1:])
    # Rows are what the file holds one after the other: frames, or pixels.
    rows = out.reshape(n_positions, n_pixels)
    rows = rows if _frame_after_frame(layout, n_positions) else rows.T
    row_bytes = rows.shape[1] * layout.dtype.itemsize
    start = 0
    for block in archive.blocks(key, max(1, BLOCK // row_bytes) * row_bytes):
        several = block.reshape(-1, rows.shape[1])
        rows[start : start + len(several)] = several
        start += len(several)
    out.flush()
