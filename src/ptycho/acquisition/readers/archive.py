"""Open a NumPy archive (npz, npz.bz2) that may be anything: sizes are checked before memory is taken, no pickles."""

import bz2
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.readers.kinds import kind_of, kind_of_folder
from ptycho.base.blocks import BLOCK, LARGE, in_file
from ptycho.base.errors import DataError
from ptycho.base.mapped import map_array
from ptycho.base.printable import listed
from ptycho.base.zips import objection

LARGEST_ARRAY = 64 * 2**30
SPLIT = "split the scan, or `ptycho convert` it to a folder that ends in .scan"
LARGEST_BZ2 = 8 * 2**30
SMALL_BZ2 = 2**26  # bytes that are unpacked whatever they come from
UNPACKS_BZ2 = 2_000  # bytes that a packed byte may become beyond that; zeros alone become a million
KINDS = {b"\x89HDF": "an HDF5 file", b"\x93NUM": "a single npy array"}
NPZ = "an npz file with diff3d, xcoords, ycoords and probeGuess"
LONGEST_AXIS = 2**63 - 1
# What reading a damaged file ends in; NumPy reads the header of an array as Python and passes on what that raises.
DAMAGE = (
    *(OSError, ValueError, EOFError, struct.error, zipfile.BadZipFile, zlib.error, RuntimeError),
    *(TokenError, SyntaxError, TypeError),
)


@dataclass(frozen=True)
class Layout:
    """How the values of an array lie in its file: shape, dtype, and whether the first axis runs fastest (Fortran)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """The arrays of an open npz, by key; ``path`` is its file, or None where the whole of it was unpacked first.

    Large arrays of real numbers that are stored as they are, are mapped; compressed ones are unpacked into a file in
    the folder ``scratch``, or into memory where there is none.
    """

    unfollowed: tuple[str, ...] = ()

    def __init__(self, file: zipfile.ZipFile, path: Path | None, scratch: Path | None = None) -> None:
        self.file, self.path, self._scratch = file, path, scratch
        self.keys = frozenset(n.removesuffix(".npy") for n in file.namelist() if n.endswith(".npy"))

    @property
    def kind(self) -> str:
        """What it is in words: by its name where this package writes the like, else by its keys."""
        return kind_of(self.keys.union(self.file.namelist())) or f"keys {listed(self.keys)}"

    def __contains__(self, key: str) -> bool:
        """Say whether there is an array called ``key``."""
        return key in self.keys

    def headers(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return shape and dtype of every array by key, without reading any."""
        found = {}
        for key in sorted(self.keys):
            with _damage_reported(), self.file.open(f"{key}.npy") as stream:
                layout = header_of(stream)
            found[key] = (layout.shape, "pickled objects" if layout.dtype.hasobject else str(layout.dtype))
        return found

    def attribute(self, key: str, name: str) -> None:
        """Return None: an npz has no attributes; other kinds of files do."""

    def is_pickled(self, key: str) -> bool:
        """Say whether ``key`` holds Python objects, which are never loaded."""
        with _damage_reported(), self.file.open(f"{key}.npy") as stream:
            return header_of(stream).dtype.hasobject

    def content(self, key: str, longest: int) -> bytes:
        """Return the bytes of ``key`` behind its header, as they are stored.

        Raises
        ------
        DataError
            They are more than ``longest``, or damaged.
        """
        with _damage_reported(), self.file.open(f"{key}.npy") as stream:
            header_of(stream)
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
        layout = self.layout(key, self._largest(key))
        on_disk = self._scratch is not None or self.place(key) is not None
        if on_disk and layout.nbytes >= LARGE and layout.dtype.kind in "iuf":
            return self.mapped(key, self._scratch)
        with _damage_reported(), self.file.open(f"{key}.npy") as stream:
            array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        return array

    def mapped(self, key: str, folder: Path | None) -> NDArray[Any]:
        """Return the array called ``key`` mapped, where it lies or unpacked into a file in ``folder``.

        Raises
        ------
        DataError
            As for any array.
        OutputError
            The disk is too full, or the folder can't be written.
        """
        layout, place = self.layout(key), self.place(key)
        order: Literal["C", "F"] = "F" if layout.fortran else "C"
        if place is not None and self.path is not None:
            with _damage_reported():
                return map_array(self.path, layout.dtype, place, layout.shape, order)
        assert folder is not None
        return in_file(folder, self.blocks(key, BLOCK), layout.shape, layout.dtype, order)

    def _largest(self, key: str) -> int:
        """Return the bytes that an array may have: those of the memory, or of the disk where it can stay there."""
        stays = key in self.keys and (self._scratch is not None or self.place(key) is not None)
        return max(LARGEST_ARRAY, self.file.getinfo(f"{key}.npy").file_size) if stays else LARGEST_ARRAY

    def layout(self, key: str, largest: float = math.inf) -> Layout:
        """Return how the values of ``key`` lie in the file, without reading them.

        Raises
        ------
        DataError
            There is no such array, it is pickled, it has more than ``largest`` bytes, or it is incomplete.
        """
        if key not in self.keys:
            raise DataError(f"found keys {listed(self.keys)}, expected {key!r}; add it")
        member = self.file.getinfo(f"{key}.npy")
        with _damage_reported(), self.file.open(member) as stream:
            layout = header_of(stream)
        if layout.dtype.hasobject:
            raise DataError(f"{key!r} holds pickled objects, which are not loaded; store plain numbers")
        if layout.nbytes > largest:
            raise DataError(
                f"{key!r} declares {layout.nbytes / 2**30:.0f} GiB, expected at most {largest / 2**30:.0f}; {SPLIT}"
            )
        if layout.nbytes > member.file_size:
            raise DataError(f"{key!r} is cut short; copy or download the file again")
        return layout

    def blocks(self, key: str, n_bytes: int) -> Iterator[NDArray[Any]]:
        """Yield the values of ``key`` in the order of the file, ``n_bytes`` at a time.

        Raises
        ------
        DataError
            As `layout`, or they end too early.
        """
        layout = self.layout(key)
        left = layout.nbytes
        with _damage_reported(), self.file.open(f"{key}.npy") as stream:
            header_of(stream)
            while left:
                block = stream.read(min(n_bytes, left))
                if len(block) < min(n_bytes, left):
                    raise DataError(f"{key!r} is cut short; copy or download the file again")
                left -= len(block)
                yield np.frombuffer(block, layout.dtype)

    def place(self, key: str) -> int | None:
        """Return the byte of the file where the values of ``key`` begin; None where they are compressed."""
        member = self.file.getinfo(f"{key}.npy")
        if self.path is None or member.compress_type != zipfile.ZIP_STORED:
            return None
        with _damage_reported():
            with self.file.open(member) as stream:
                header_of(stream)
                header = stream.tell()
            with self.path.open("rb") as file:
                file.seek(member.header_offset + 26)
                name, extra = struct.unpack("<HH", file.read(4))
        return int(member.header_offset + 30 + name + extra + header)


@contextmanager
def open_archive(path: Path, expected: str = NPZ, scratch: Path | None = None) -> Iterator[Archive]:
    """Open ``path``, an npz or a bz2 of one; a DataError raised in the block gets the name of the file.

    Parameters
    ----------
    path
        The file.
    expected
        What a message says that would have been right in its place.
    scratch
        Folder where large arrays are unpacked into files; None to unpack them into memory.

    Raises
    ------
    DataError
        The file is missing, a folder, empty, of another kind, incomplete or damaged.
    """
    path = Path(path)
    try:
        _check_kind(path, expected)
        with path.open("rb") as stream:
            with _damage_reported():
                content = _decompressed(stream)
                file = zipfile.ZipFile(content)
            if reason := objection(file):
                raise DataError(f"{reason}; write the file again, or leave it alone if you don't know who made it")
            with file:
                yield Archive(file, path if content is stream else None, scratch)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def _damage_reported() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            "unpacks to more than fits into the memory of this machine; use a larger one, or split the scan"
        ) from error
    except DAMAGE as error:
        raise DataError(
            f"can't be read as an npz ({' '.join(str(error).split())}); it is damaged or incomplete: "
            "copy or download it again"
        ) from error


def _check_kind(path: Path, expected: str) -> None:
    if not path.exists():
        raise DataError(f"not found; expected {expected}; check the path")
    if path.is_dir():
        if kind := kind_of_folder(path):
            raise DataError(f"found a folder with {kind}, expected {expected}; give that")
        raise DataError(f"found a folder, expected {expected}; name the file inside it")
    if not path.is_file():
        raise DataError(f"found a pipe or a device, expected {expected}; name a regular file")
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise DataError(f"can't be opened ({error.strerror}); make it readable") from error
    if not start:
        raise DataError(f"found an empty file, expected {expected}; copy or download it again")
    if not start.startswith((b"PK", b"BZh")):
        kind = KINDS.get(start[:4], "a file")
        raise DataError(f"found {kind} that is not an npz, expected {expected}; convert it")


def _decompressed(stream: io.BufferedReader) -> io.BufferedReader | io.BytesIO:
    if stream.read(3) != b"BZh":
        stream.seek(0)
        return stream
    packed = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    largest = min(LARGEST_BZ2, max(SMALL_BZ2, UNPACKS_BZ2 * packed))
    content = io.BytesIO()
    with bz2.BZ2File(stream) as unpacked:
        while block := unpacked.read(2**20):
            content.write(block)
            if content.tell() > largest:
                raise DataError(f"unpacks to more than {largest} bytes from {packed}; unpack it with bunzip2 first")
    return content


def header_of(stream: Any) -> Layout:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    # NumPy takes any whole number for a length, True and negative ones too.
    if any(isinstance(length, bool) or not 0 <= length <= LONGEST_AXIS for length in shape):
        raise ValueError(f"an array of shape {shape}")
    return Layout(shape, dtype, fortran)
