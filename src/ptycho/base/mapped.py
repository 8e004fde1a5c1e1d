"""Arrays that lie in a file: a map says where their values are, and reads by position bring them."""

import mmap
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from ptycho.base.errors import DataError

# Bytes, and rows, of one call to the system.
AT_ONCE, MOST_ROWS = 2**25, 512
# Rows whose bytes lie so much wider apart than their values are looked at through the map: most of what a read by
# position brings would be of other rows.
SCATTERED = 4


class FileMap(mmap.mmap):
    """A map of a file to read, which keeps the file open.

    ``extremes`` are those of views of it that were walked: address, shape, strides and type -> smallest and largest.
    """

    descriptor: int
    name: str
    extremes: dict[tuple[Any, ...], tuple[float, float]]


def map_array(
    file: Path | IO[bytes], dtype: np.dtype[Any], offset: int, shape: tuple[int, ...], order: Literal["C", "F"] = "C"
) -> NDArray[Any]:
    """Return an array that lies in a file from byte ``offset`` on, mapped and read-only.

    Whoever wants its values asks `rows_of`: looking at them through the map ends the program where the file was
    shortened since.

    Raises
    ------
    OSError, ValueError
        The file can't be opened, or is too short.
    """
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return map_array(stream, dtype, offset, shape, order)
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not n_bytes:
        return np.empty(shape, dtype, order)
    mapped = FileMap(file.fileno(), offset + n_bytes, access=mmap.ACCESS_READ)
    mapped.descriptor, mapped.name, mapped.extremes = os.dup(file.fileno()), str(file.name), {}
    weakref.finalize(mapped, os.close, mapped.descriptor)
    return np.ndarray(shape, dtype, mapped, offset, order=order)


def is_mapped(array: NDArray[Any]) -> bool:
    """Say whether an array lies in a file that is mapped."""
    return map_of(array) is not None


def map_of(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the map of the file that an array lies in, None for one in memory."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def give_back(array: NDArray[Any]) -> None:
    """Let go of the pages of a mapped file that were read into memory, which count as the program's own; else nothing.

    They are read again when they are looked at again, from the cache of the system where it still has them. A map that
    can be written to keeps its pages: they may hold what the file does not.
    """
    mapped = map_of(array)
    if mapped is not None and memoryview(mapped).readonly:
        mapped.madvise(mmap.MADV_DONTNEED)


def rows_of(array: NDArray[Any], rows: NDArray[Any] | slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return some rows of an array; those of a file are read by position, in the order of the file.

    Parameters
    ----------
    array
        With one axis at least; a view of what `map_array` made is one too.
    rows
        Which of them, as an index would name them.
    out
        Where they go, of their shape and type, in one piece; where they are, or else a place of their own, when None.

    Raises
    ------
    DataError
        The file can't be read, or has become shorter.
    IndexError
        There is no such row.
    """
    mapped = map_of(array)
    if not isinstance(mapped, FileMap):
        if out is None:
            return array[rows]
        out[...] = array[rows]
        return out
    numbers = np.arange(*rows.indices(len(array))) if isinstance(rows, slice) else _numbers(rows, len(array))
    found = np.empty((len(numbers), *array.shape[1:]), array.dtype) if out is None else out
    if found.size:
        _read(mapped, array, numbers, found)
    return found


def _numbers(rows: NDArray[Any], n_rows: int) -> NDArray[np.int64]:
    """Return the numbers of rows: beyond the array the file goes on, with a header or with rows of another view."""
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if len(rows) != n_rows:
            raise IndexError(f"found a mask of {len(rows)} rows for {n_rows}; expected one of each")
        return np.flatnonzero(rows)
    if rows.size and (rows.min() < -n_rows or rows.max() >= n_rows):
        raise IndexError(f"found rows from {rows.min()} to {rows.max()} of {n_rows}; expected those that are there")
    return np.where(rows < 0, rows + n_rows, rows).astype(np.int64)


def _read(mapped: FileMap, array: NDArray[Any], rows: NDArray[np.int64], found: NDArray[Any]) -> None:
    first, stride = array[:1], array.strides[0]
    low, high = byte_bounds(first)
    if not high - low <= stride <= SCATTERED * (high - low):
        _require(mapped, len(mapped))
        found[...] = array[rows]
        give_back(array)
        return
    start = low - np.frombuffer(mapped, np.uint8).ctypes.data
    ready = first.flags.c_contiguous and stride == first.nbytes
    for places in _runs(rows, max(1, min(MOST_ROWS, AT_ONCE // stride))):
        offset = start + int(rows[places[0]]) * stride
        if ready:
            _fill(mapped, [found[place : place + 1].reshape(-1).view(np.uint8).data for place in places], offset)
        else:
            span = np.empty((len(places) - 1) * stride + high - low, np.uint8)
            _fill(mapped, [span.data], offset)
            inside = first.ctypes.data - low
            found[places] = np.ndarray((len(places), *first.shape[1:]), array.dtype, span.data, inside, array.strides)


def _runs(rows: NDArray[np.int64], longest: int) -> Iterator[NDArray[np.int64]]:
    """Yield places of rows that follow each other in the file, from its front to its back."""
    order = np.argsort(rows, kind="stable")
    for run in np.split(order, np.flatnonzero(np.diff(rows[order]) != 1) + 1):
        for start in range(0, len(run), longest):
            yield run[start : start + longest]


def _fill(mapped: FileMap, places: list[memoryview], offset: int) -> None:
    """Read bytes from a place in the file on; the system may bring fewer at a time than are asked for."""
    end = offset + sum(place.nbytes for place in places)
    while offset < end:
        try:
            found = os.preadv(mapped.descriptor, places, offset)
        except OSError as error:
            raise DataError(
                f"{mapped.name} can't be read ({error.strerror}); make it readable and start again"
            ) from error
        if not found:
            _require(mapped, end)
            raise DataError(f"{mapped.name} ends before byte {end}, which it has; copy it to a disk that is whole")
        offset += found
        while places and found >= places[0].nbytes:
            found -= places.pop(0).nbytes
        if found:
            places[0] = places[0][found:]


def _require(mapped: FileMap, n_bytes: int) -> None:
    """Refuse a file that has become shorter than it was when it was mapped."""
    found = os.fstat(mapped.descriptor).st_size
    if found < n_bytes:
        raise DataError(
            f"{mapped.name} became shorter while it was read: found {found} bytes, expected at least {n_bytes}; "
            "make it whole, start again, and leave it alone while a run reads it"
        )
