"""An open scan file, whatever its kind: arrays by key."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from ptycho.acquisition.build import number
from ptycho.acquisition.readers.archive import open_archive
from ptycho.acquisition.readers.folder import is_folder, open_folder
from ptycho.acquisition.readers.loose import is_loose, open_loose
from ptycho.base.errors import DataError

HDF5 = b"\x89HDF\r\n\x1a\n"
PLACES = (0, 512, 1024, 2048)  # where HDF5 may begin; files of MATLAB do so at 512
ANY_KIND = "an npz, HDF5, CXI, MATLAB, npy, csv or txt file of a scan"
WHOLE_SCAN = "diffraction.h5"  # in a folder of Ptychodus


@runtime_checkable
class Source(Protocol):
    """The arrays of an open file by key; ``path`` is the file, None where it was unpacked in memory first."""

    @property
    def path(self) -> Path | None:
        """The file."""

    @property
    def keys(self) -> frozenset[str]:
        """Keys of all arrays."""

    @property
    def unfollowed(self) -> tuple[str, ...]:
        """What is to be said of its links to other files, which are not opened."""

    def __contains__(self, key: str) -> bool:
        """Say whether there is an array called ``key``."""

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return the array called ``key``; DataError where there is none that can be used."""

    def get(self, key: str) -> NDArray[Any] | None:
        """Return the array called ``key``, or None when there is none."""

    def headers(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return shape and dtype of every array by key, without reading any."""

    def attribute(self, key: str, name: str) -> Any:
        """Return the attribute ``name`` of an array, or of the file for the key "": number or text, None for none."""


def open_source(path: Path, scratch: Path | None = None) -> AbstractContextManager[Source]:
    """Open a scan file of any kind, or a folder of ours; another folder stands for the diffraction.h5 in it.

    Large arrays stay in their file where they lie in it as they are, and else go to ``scratch``, or into memory.

    Parameters
    ----------
    scratch
        Folder for large arrays that have to be unpacked; None for memory.

    Raises
    ------
    DataError
        The file is missing, damaged or of no known kind, once the block begins.
    """
    path = scan_file(path)
    if is_folder(path):
        return open_folder(path)
    start = _start(path)
    if any(start[place : place + len(HDF5)] == HDF5 for place in PLACES):
        # Importing h5py takes time that a scan in an npz must not pay.
        from ptycho.acquisition.readers.hdf5 import open_hdf5

        return open_hdf5(path, scratch)
    return open_loose(path) if start and is_loose(path, start) else open_archive(path, ANY_KIND, scratch)


def _start(path: Path) -> bytes:
    """Return the first bytes of a file, none where it can't be read or is a pipe, which would be waited for."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as stream:
            return stream.read(PLACES[-1] + len(HDF5))
    except OSError:
        return b""


def scan_file(path: Path) -> Path:
    """Return the file that ``path`` stands for: itself, or for a folder of Ptychodus the patterns in it."""
    inside = path / WHOLE_SCAN
    return inside if inside.is_file() else path


def name_of(source: Source) -> str:
    """Return the name of a source's file, for notes."""
    return "the file" if source.path is None else source.path.name


def first_number(source: Source, *keys: str) -> float | None:
    """Return the one number under the first of ``keys`` that the source has, as an array or, as Ptychodus, on the file.

    Raises
    ------
    DataError
        It is no number.
    """
    for key in keys:
        if key in source:
            return number(key, source[key])
        value = source.attribute("", key)
        if value is not None:
            if isinstance(value, str | bool):
                raise DataError(f"found {key} = {value!r}, expected a number; correct it")
            return float(value)
    return None
