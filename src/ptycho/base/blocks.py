"""Arrays larger than memory: walked a block at a time, mapped from files, their pages given back behind the walk."""

import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho.base.errors import OutputError

# Bytes in memory at once while an array is walked.
BLOCK = 2**25
# Bytes from which an array that lies ready in a file is mapped rather than read.
LARGE = 2**28


def is_mapped(array: NDArray[Any]) -> bool:
    """Say whether an array lies in a file that is mapped."""
    return _map_of(array) is not None


def give_back(array: NDArray[Any]) -> None:
    """Let go of the pages of a mapped file that were read into memory, which count as the program's own; else nothing.

    They are read again when they are looked at again, from the cache of the system where it still has them. A map that
    can be written to keeps its pages: they may hold what the file does not.
    """
    mapped = _map_of(array)
    if mapped is not None and memoryview(mapped).readonly:
        mapped.madvise(mmap.MADV_DONTNEED)


def blocks(array: NDArray[Any]) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield an array some rows at a time, with their place; a mapped one's pages are given back behind."""
    step = max(1, BLOCK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, array[rows]
        give_back(array)


def extremes(array: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest value of an array that has some; NaN where it holds one."""
    found = [(block.min(), block.max()) for _, block in blocks(array)]
    return float(np.min([low for low, _ in found])), float(np.max([high for _, high in found]))


def in_file(
    folder: Path,
    parts: Iterable[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    order: Literal["C", "F"] = "C",
) -> NDArray[Any]:
    """Return an array whose values come in parts, one after the other, mapped from a file without a name in a folder.

    The file goes with the array, however the program ends.

    Raises
    ------
    OutputError
        The disk is too full, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        require_space(folder, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        with tempfile.TemporaryFile(dir=folder) as file:
            for part in parts:
                file.write(np.ascontiguousarray(part, dtype).data)
            file.flush()
            return np.memmap(file, dtype, "r", shape=shape, order=order)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"can't write to {folder}: {error.strerror or error}; free some space or choose another folder"
        ) from error


def changed(
    array: NDArray[Any], change: Callable[[slice], NDArray[Any]], shape: tuple[int, ...], folder: Path | None
) -> NDArray[Any]:
    """Return what becomes of an array, made some rows at a time.

    Parameters
    ----------
    array
        Says how many rows go at a time.
    change
        From rows of the result to their values, of the type of ``array``.
    shape
        Of the result.
    folder
        Where a large result lies in a file; None to have it in memory.
    """
    row = int(np.prod(shape[1:], dtype=np.int64)) * array.dtype.itemsize
    step = max(1, BLOCK // max(1, row))
    places = (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))
    if folder is not None and shape[0] * row >= LARGE:
        return in_file(folder, _given_back(array, map(change, places)), shape, array.dtype)
    made = np.empty(shape, array.dtype)
    for place in places:
        made[place] = change(place)
    return made


def require_space(folder: Path, n_bytes: int) -> None:
    """Refuse to begin what the disk can't hold.

    Raises
    ------
    OutputError
        With what is free and what is needed.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise OutputError(
            f"{folder} has {free / 2**30:.3g} GiB free; expected {n_bytes / 2**30:.3g} for the patterns of the scan; "
            "free some space or choose another folder"
        )


def _given_back(array: NDArray[Any], parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for part in parts:
        yield part
        give_back(array)


def _map_of(array: NDArray[Any]) -> mmap.mmap | None:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
