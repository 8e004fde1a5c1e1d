"""Arrays larger than memory: walked a block at a time, and kept in files."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho.base.errors import OutputError
from ptycho.base.mapped import FileMap, map_array, map_of, rows_of

# Bytes in memory at once while an array is walked.
BLOCK = 2**25
# Bytes from which an array that lies ready in a file is mapped rather than read.
LARGE = 2**28


def blocks(array: NDArray[Any]) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield an array some rows at a time, with their place; those of one that is mapped are read from its file."""
    step = max(1, BLOCK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, rows_of(array, rows)


def extremes(array: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest value of an array that has some; NaN where it holds one.

    Those of one that is mapped are known from then on: its file is walked once, whoever asks.
    """
    mapped = map_of(array)
    known = mapped.extremes if isinstance(mapped, FileMap) else {}
    view = array.ctypes.data, array.shape, array.strides, array.dtype
    if view not in known:
        found = [(block.min(), block.max()) for _, block in blocks(array)]
        known[view] = float(np.min([low for low, _ in found])), float(np.max([high for _, high in found]))
    return known[view]


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
    with (
        room_in(folder, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize),
        tempfile.TemporaryFile(dir=folder) as file,
    ):
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)
        file.flush()
        return map_array(file, dtype, 0, shape, order)


@contextmanager
def room_in(folder: Path, n_bytes: int) -> Iterator[None]:
    """Make a folder with room for so many bytes, which the block may write.

    Raises
    ------
    OutputError
        The disk is too full, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        require_space(folder, n_bytes)
        yield
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
        return in_file(folder, map(change, places), shape, array.dtype)
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
            f"{folder} has {free / 2**30:.3g} GiB free; expected {n_bytes / 2**30:.3g}; "
            "free some space or choose another folder"
        )
