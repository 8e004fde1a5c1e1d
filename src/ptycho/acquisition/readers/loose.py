"""Open what is no archive: one array (npy), a table of positions (csv, txt), MATLAB files before 7.3 (mat)."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.readers.archive import DAMAGE, header_of
from ptycho.base.errors import DataError
from ptycho.base.mapped import map_array
from ptycho.base.printable import listed

NPY, MATLAB = b"\x93NUMPY", b"MATLAB 5.0 MAT-file"
TABLES = {".csv": ",", ".txt": None}  # suffix -> what separates columns, None for blanks
LONGEST_TABLE = 2**28  # bytes; ten million positions
TALLEST_STRUCTURE = 8  # structures within structures


class Loose:
    """The arrays of a small file by key; an array without a name has that of its file."""

    unfollowed: tuple[str, ...] = ()

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        self.path, self._arrays = path, arrays
        self.keys = frozenset(arrays)

    def __contains__(self, key: str) -> bool:
        """Say whether there is an array called ``key``."""
        return key in self.keys

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return the array called ``key``.

        Raises
        ------
        DataError
            There is none.
        """
        if key not in self.keys:
            raise DataError(f"found keys {listed(self.keys)}, expected {key!r}; add it")
        return self._arrays[key]

    def get(self, key: str) -> NDArray[Any] | None:
        """Return the array called ``key``, or None when there is none."""
        return self._arrays.get(key)

    def headers(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return shape and dtype of every array by key."""
        return {key: (array.shape, str(array.dtype)) for key, array in sorted(self._arrays.items())}

    def attribute(self, key: str, name: str) -> None:
        """Return None: these files have no attributes; other kinds do."""


def is_loose(path: Path, start: bytes) -> bool:
    """Say whether a file that starts so is of one of these kinds; a table is known by its suffix only."""
    return start.startswith((NPY, MATLAB)) or path.suffix.lower() in TABLES


@contextmanager
def open_loose(path: Path) -> Iterator[Loose]:
    """Open one array, which stays in its file until it is looked at, a table, or a MATLAB file.

    A DataError raised in the block gets the name of the file.

    Raises
    ------
    DataError
        The file is damaged, or a table isn't one.
    """
    try:
        yield Loose(path, _arrays(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as stream:
        start = stream.read(len(MATLAB))
    if start.startswith(NPY):
        return {path.stem: _npy(path)}
    return _matlab(path) if start == MATLAB else {path.stem: _table(path)}


def _npy(path: Path) -> NDArray[Any]:
    try:
        return map_npy(path)
    except (*DAMAGE, MemoryError, OverflowError) as error:
        raise _damaged("npy", error) from error


def map_npy(path: Path) -> NDArray[Any]:
    """Return the array of an npy, mapped.

    Raises
    ------
    DAMAGE, DataError, MemoryError, OverflowError
        It can't be read.
    """
    with path.open("rb") as stream:
        layout = header_of(stream)
        if layout.dtype.hasobject:
            raise DataError("holds pickled objects, which are not loaded; store plain numbers")
        return map_array(stream, layout.dtype, stream.tell(), layout.shape, "F" if layout.fortran else "C")


def _table(path: Path) -> NDArray[Any]:
    if path.stat().st_size > LONGEST_TABLE:
        raise DataError(f"has more than {LONGEST_TABLE} bytes, expected a table of positions; give them as npy")
    try:
        text = path.read_text(encoding="utf-8")
        if not any(line.partition("#")[0].strip() for line in text.splitlines()):
            raise ValueError("no number in it")
        return np.loadtxt(io.StringIO(text), delimiter=TABLES[path.suffix.lower()], ndmin=2)
    except (*DAMAGE, MemoryError, OverflowError) as error:
        raise DataError(
            f"is no table of numbers ({' '.join(str(error).split())}); expected one line a position, its two numbers "
            "first, and # before what is none"
        ) from error


def _matlab(path: Path) -> dict[str, NDArray[Any]]:
    # SciPy's reader takes time to import that other files must not pay.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, simplify_cells=True)
    except (*DAMAGE, MatReadError, LookupError, AttributeError, OverflowError, MemoryError) as error:
        raise _damaged("MATLAB file", error) from error
    return dict(_flat(content, "", TALLEST_STRUCTURE))


def _flat(content: dict[str, Any], prefix: str, deepest: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the numbers of a structure, each under the names that lead to it with slashes between."""
    for name, value in content.items():
        if isinstance(value, dict) and deepest:
            yield from _flat(value, f"{prefix}{name}/", deepest - 1)
        elif isinstance(value, np.ndarray | int | float | complex) and np.asarray(value).dtype.kind in "biufc":
            yield f"{prefix}{name}", np.asarray(value)


def _damaged(kind: str, error: BaseException) -> DataError:
    said = " ".join(str(error).split())
    return DataError(f"can't be read as {kind} ({said}); it is damaged or incomplete: copy it again")
