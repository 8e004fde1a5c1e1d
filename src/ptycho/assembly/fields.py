"""A canvas larger than memory: rectangles of it that overlap, and the file in which they become one."""

import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.blocks import BLOCK, room_in
from ptycho.base.mapped import map_array

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Field:
    """A rectangle of a canvas, and the frames that see it.

    Attributes
    ----------
    window
        Its rows and columns on the canvas. It shares a strip as wide as a patch with every neighbour.
    fades
        Of its rows and of its columns, how much it counts there: 1 but in the strips, where it falls to 0 as that of
        the neighbour rises.
    frames
        All whose patches reach into the window: its light is all the light that fell there.
    owned
        Those of them whose middle lies nearer to it than to any other field; of each frame one field owns it.
    """

    window: Window
    fades: tuple[Float64[ndarray, " y"], Float64[ndarray, " x"]]
    frames: Int64[ndarray, " frame"]
    owned: Bool[ndarray, " frame"]

    @property
    def weight(self) -> Float32[ndarray, "y x"]:
        """How much it counts at each of its pixels, so that the weights of all fields add up to 1.

        Made when it is asked for: those of all fields would be as large as the canvas.
        """
        of_row, of_column = self.fades
        weight: Float32[ndarray, "y x"] = (of_row[:, None] * of_column).astype(np.float32)
        return weight


def fields_of(
    corners: Int64[ndarray, "frame 2"], size: int, shape: tuple[int, int], side: int, least: int
) -> list[Field]:
    """Return fields that cover all frames on a canvas, the one nearest to the middle of the scan first.

    It speaks for all, so that fields with less than half the frames of a usual one come after all others there. The
    next is always the one that shares most frames with all before it, or the nearest to the middle where none does:
    wherever light ties a field to others, it comes after one of them.

    Parameters
    ----------
    corners
        First pixel (y, x) of every patch, px.
    size, shape
        Side of a patch, and the sides (height, width) of the canvas, px.
    side
        Largest side of a field without its strips, px; it is not smaller than a patch.
    least
        Frames that a field has at least, those nearest to it, or all of the scan.
    """
    edges = [_edges(length, side, size) for length in shape]
    middles = corners + size // 2
    middle = np.median(middles, axis=0)
    cells = [np.searchsorted(inner, middles[:, axis], "right") - 1 for axis, inner in enumerate(edges)]
    fields: list[tuple[float, Field]] = []
    for row, (rows, of_row) in enumerate(_strips(edges[0], size)):
        near = np.flatnonzero(_reach(corners[:, 0], rows, size))
        for column, (columns, of_column) in enumerate(_strips(edges[1], size)):
            frames = near[_reach(corners[near, 1], columns, size)]
            if not len(frames):
                continue
            centre = np.array([rows.start + rows.stop, columns.start + columns.stop]) / 2
            if len(frames) < least:
                distance = np.linalg.norm(middles - centre, axis=1)
                # Those that reach into it come first: one in its corner is farther away than many beside it.
                distance[frames] = 0
                frames = np.sort(np.argsort(distance, kind="stable")[:least])
            owned = (cells[0][frames] == row) & (cells[1][frames] == column)
            away = float(np.linalg.norm(centre - middle))
            fields.append((away, Field((rows, columns), (of_row, of_column), frames, owned)))
    few = float(np.median([len(field.frames) for _, field in fields])) / 2
    nearest = sorted(fields, key=lambda each: (len(each[1].frames) < few, each[0]))
    return _in_order([field for _, field in nearest], len(corners))


def _in_order(fields: list[Field], n_frames: int) -> list[Field]:
    """Return the first field, and then always the one that shares most frames with all before it."""
    edges = np.array([[(part.start, part.stop) for part in field.window] for field in fields])
    seen, shared = np.zeros(n_frames, bool), np.zeros(len(fields), np.int64)
    ordered: list[Field] = []
    while len(ordered) < len(fields):
        number = int(shared.argmax())
        ordered.append(fields[number])
        seen[fields[number].frames] = True
        touched = (edges[:, :, 0] < edges[number, :, 1]) & (edges[:, :, 1] > edges[number, :, 0])
        for other in np.flatnonzero(touched.all(axis=1) & (shared >= 0)):
            shared[other] = np.count_nonzero(seen[fields[other].frames])
        shared[number] = -1
    return ordered


def _edges(length: int, side: int, size: int) -> NDArray[np.int64]:
    n = max(1, min(-(-length // side), length // size))
    return np.linspace(0, length, n + 1).round().astype(np.int64)


def _strips(edges: NDArray[np.int64], size: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield, along one axis, the pixels of every field and its weight there."""
    half = size // 2
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        start, stop = max(first - half, 0), min(last + half, int(edges[-1]))
        middle = np.arange(start, stop) + 0.5
        rising = np.clip((middle - first + half) / (2 * half), 0, 1) if first else np.ones(stop - start)
        falling = np.clip((last + half - middle) / (2 * half), 0, 1) if last < edges[-1] else np.ones(stop - start)
        yield slice(start, stop), rising * falling


def _reach(corners: Int64[ndarray, " frame"], pixels: slice, size: int) -> NDArray[np.bool_]:
    reached: NDArray[np.bool_] = (corners < pixels.stop) & (corners + size > pixels.start)
    return reached


class Canvas:
    """An image that grows window by window: in a file without a name in a folder, or in memory where there is none.

    Parameters
    ----------
    shape
        (height, width), px; all pixels begin at 0.
    dtype
        Of its values.
    folder
        Where the file lies; None for memory.

    Raises
    ------
    OutputError
        The disk is too full, or the folder can't be written.
    """

    def __init__(self, shape: tuple[int, int], dtype: type, folder: Path | None) -> None:
        self._file = None
        if folder is None:
            self._pixels: NDArray[Any] = np.zeros(shape, dtype)
            return
        n_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
        with room_in(folder, n_bytes):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # it goes with the canvas
            # Room that is only promised may be gone when a page is written through the map, which ends the program.
            zeros = memoryview(bytes(min(BLOCK, n_bytes)))
            for start in range(0, n_bytes, BLOCK):
                self._file.write(zeros[: n_bytes - start])
            self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), n_bytes)
        self._pixels = np.ndarray(shape, dtype, self._map)

    def at(self, window: Window) -> NDArray[Any]:
        """Return a copy of what a window holds."""
        return self._pixels[window].copy()

    def add(self, window: Window, part: NDArray[Any]) -> None:
        """Add an image of its size to a window."""
        self._pixels[window] += part
        if self._file is not None:
            # What was written lies in the cache of the system: it needs not count as the program's own too.
            self._map.madvise(mmap.MADV_DONTNEED)

    def array(self) -> NDArray[Any]:
        """Return the image, mapped where it lies in a file; nothing may be added any more."""
        if self._file is None:
            return self._pixels
        return map_array(self._file, self._pixels.dtype, 0, self._pixels.shape)
