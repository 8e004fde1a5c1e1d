"""Open a NumPy archive (npz, npz.bz2) that may be anything: sizes are checked before memory is taken, no pickles."""

import bz2
import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.base.errors import DataError

LARGEST_ARRAY = 64 * 2**30
LARGEST_BZ2 = 8 * 2**30
KINDS = {b"\x89HDF": "an HDF5 file", b"\x93NUM": "a single npy array"}
NPZ = "an npz file with diff3d, xcoords, ycoords and probeGuess"


class Archive:
    """The arrays of an open npz, by key."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self.keys = frozenset(n.removesuffix(".npy") for n in file.namelist() if n.endswith(".npy"))

    def __contains__(self, key: str) -> bool:
        """Say whether there is an array called ``key``."""
        return key in self.keys

    def headers(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return shape and dtype of every array by key, without reading any."""
        found = {}
        for key in sorted(self.keys):
            with _damage_reported(), self._file.open(f"{key}.npy") as stream:
                shape, dtype = _header(stream)
            found[key] = (shape, "pickled objects" if dtype.hasobject else str(dtype))
        return found

    def is_pickled(self, key: str) -> bool:
        """Say whether ``key`` holds Python objects, which are never loaded."""
        with _damage_reported(), self._file.open(f"{key}.npy") as stream:
            return _header(stream)[1].hasobject

    def content(self, key: str, longest: int) -> bytes:
        """Return the bytes of ``key`` behind its header, as they are stored.

        Raises
        ------
        DataError
            They are more than ``longest``, or damaged.
        """
        with _damage_reported(), self._file.open(f"{key}.npy") as stream:
            _header(stream)
            found: bytes = stream.read(longest + 1)
        if len(found) > longest:
            raise DataError(f"{key!r} is longer than {longest} bytes; expected a short text; leave it out")
        return found

    def get(self, key: str) -> NDArray[Any] | None:
        """Return the array called ``key``, or None when there is none."""
        return self[key] if key in self.keys else None

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return the array called ``key``.

        Raises
        ------
        DataError
            There is none, it is pickled, it is too large, or it is incomplete.
        """
        if key not in self.keys:
            raise DataError(f"found keys {sorted(self.keys)}, expected {key!r}; add it")
        member = self._file.getinfo(f"{key}.npy")
        with _damage_reported(), self._file.open(member) as stream:
            shape, dtype = _header(stream)
        declared = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise DataError(f"{key!r} holds pickled objects, which are not loaded; store plain numbers")
        if declared > LARGEST_ARRAY:
            raise DataError(
                f"{key!r} declares {declared / 2**30:.0f} GiB, expected at most {LARGEST_ARRAY / 2**30:.0f}; "
                "split the scan"
            )
        if declared > member.file_size:
            raise DataError(f"{key!r} is cut short; copy or download the file again")
        with _damage_reported(), self._file.open(member) as stream:
            array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        return array


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open ``path``, an npz or a bz2 of one; a DataError raised in the block gets the name of the file.

    Raises
    ------
    DataError
        The file is missing, a folder, empty, of another kind, incomplete or damaged.
    """
    path = Path(path)
    try:
        _check_kind(path)
        with path.open("rb") as stream:
            with _damage_reported():
                file = zipfile.ZipFile(_decompressed(stream))
            with file:
                yield Archive(file)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def _damage_reported() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(
            f"can't be read as an npz ({' '.join(str(error).split())}); it is damaged or incomplete: "
            "copy or download it again"
        ) from error


def _check_kind(path: Path) -> None:
    if not path.exists():
        raise DataError(f"not found; expected {NPZ}")
    if path.is_dir():
        raise DataError(f"found a folder, expected {NPZ}; name the file inside it")
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise DataError(f"can't be opened ({error.strerror}); make it readable") from error
    if not start:
        raise DataError(f"found an empty file, expected {NPZ}; copy or download it again")
    if not start.startswith((b"PK", b"BZh")):
        kind = KINDS.get(start[:4], "a file")
        raise DataError(f"found {kind} that is not an npz, expected {NPZ}; convert it")


def _decompressed(stream: io.BufferedReader) -> io.BufferedReader | io.BytesIO:
    if stream.read(3) != b"BZh":
        stream.seek(0)
        return stream
    stream.seek(0)
    content = bz2.BZ2File(stream).read(LARGEST_BZ2 + 1)
    if len(content) > LARGEST_BZ2:
        raise DataError(f"unpacks to more than {LARGEST_BZ2 / 2**30:.0f} GiB; unpack it with bunzip2 first")
    return io.BytesIO(content)


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype
