"""Open an HDF5 file that may be anything: only what lies in the file itself, sizes checked before memory is taken."""

import math
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.readers.archive import LARGEST_ARRAY, SPLIT
from ptycho.base.blocks import BLOCK, LARGE, in_file
from ptycho.base.errors import DataError
from ptycho.base.hdf5_trial import try_file
from ptycho.base.mapped import map_array
from ptycho.base.printable import listed

MOST_OBJECTS = 100_000
MOST_LINKS = 32  # soft links on the way to one name; a circle of them never ends
UNPACKS = 5_000  # bytes that a stored byte may become; sparse patterns compress by thousands
SMALL = 2**26  # bytes that are taken whatever is stored
DAMAGE = (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, MemoryError, OverflowError)
PLAIN = "biufcSU"
COMPLEX = (("real", "imag"), ("r", "i"))  # names of the halves, as MATLAB and h5py write them


class Hdf5:
    """The arrays of an open HDF5 file by their path without a slash in front, ``entry/data``.

    Large arrays of real numbers that lie in one piece are mapped; those in chunks are unpacked into a file in the
    folder ``scratch``, or into memory where there is none.
    """

    def __init__(self, file: h5py.File, path: Path, scratch: Path | None = None) -> None:
        self._file, self.path, self._scratch = file, path, scratch
        unfollowed: list[str] = []
        with _damage_reported("the list of its contents"):
            self.keys = frozenset(self._walk(unfollowed))
        self.unfollowed = tuple(unfollowed)

    def __contains__(self, key: str) -> bool:
        """Say whether there is an array called ``key``; DataError where it lies in another file."""
        return isinstance(self._found(key), h5py.Dataset)

    def headers(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return shape and dtype of every array by key, without reading any."""
        found = {}
        for key in sorted(self.keys):
            with _damage_reported(repr(key)):
                dataset = self._dataset(key)
                found[key] = (tuple(dataset.shape or ()), "text" if _is_text(dataset.dtype) else str(dataset.dtype))
        return found

    def get(self, key: str) -> NDArray[Any] | None:
        """Return the array called ``key``, or None when there is none."""
        return self[key] if isinstance(self._found(key), h5py.Dataset) else None

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return the array called ``key``; text as an array of str, halves of complex numbers joined.

        Raises
        ------
        DataError
            There is none, it lies in another file, it is too large, no plain numbers, or damaged.
        """
        dataset = self._dataset(key)
        with _damage_reported(repr(key)):
            self._check_sources(key, dataset)
            _check_storage(key, dataset, LARGEST_ARRAY if self._scratch is None else math.inf)
            mapped = self._mapped(key, dataset)
            if mapped is not None:
                return mapped
            if _is_text(dataset.dtype):
                return np.asarray(dataset.asstr(errors="replace")[()], dtype=np.str_)
            array = np.asarray(dataset[()])
        return _joined(array) if array.dtype.kind == "V" else array

    def _mapped(self, key: str, dataset: h5py.Dataset) -> NDArray[Any] | None:
        """Return a large array of real numbers as it lies in a file, this one or one of its own; None for others."""
        if dataset.nbytes < LARGE or dataset.dtype.kind not in "iuf":
            return None
        place = dataset.id.get_offset()
        # Numbers of fewer bits than their bytes are told by the library alone.
        if place is not None and h5py.h5t.py_create(dataset.dtype) == dataset.id.get_type():
            return map_array(self.path, dataset.dtype, place, dataset.shape)
        if self._scratch is None:
            return None
        return in_file(self._scratch, _parts(key, dataset), dataset.shape, dataset.dtype)

    def _check_sources(self, key: str, dataset: h5py.Dataset) -> None:
        """Refuse a view of anything but arrays whose values lie in this very file."""
        for source in dataset.virtual_sources() if dataset.is_virtual else ():
            seen = self._dataset(source.dset_name) if source.file_name == "." else None
            if seen is None or seen.external or seen.is_virtual:
                raise DataError(
                    f"{key!r} is a view of other files, which are not opened; copy its values into one file: "
                    "h5repack -l CONTI does"
                )

    def attribute(self, key: str, name: str) -> Any:
        """Return the attribute ``name`` of an array or, for the key "", of the file: number, text or None for none.

        Raises
        ------
        DataError
            It holds something else.
        """
        place = self._found(key)
        if place is None:
            return None
        with _damage_reported(f"attribute {name!r} of {key!r}"):
            if name not in place.attrs:
                return None
            value = np.asarray(place.attrs[name])
        if value.size != 1 or value.dtype.kind not in f"{PLAIN}O":
            raise DataError(
                f"found attribute {name!r} of {key!r} of shape {value.shape}, expected one value; correct it"
            )
        single = value.reshape(()).item()
        return single.decode("utf-8", "replace") if isinstance(single, bytes) else single

    def _dataset(self, key: str) -> h5py.Dataset:
        found = self._found(key)
        if not isinstance(found, h5py.Dataset):
            raise DataError(f"found keys {listed(self.keys)}, expected {key!r}; add it")
        return found

    def _found(self, key: str) -> Any:
        """Return the object called ``key`` in this very file, following soft links by hand; None where there is none.

        Raises
        ------
        DataError
            The way leads out of the file or never ends.
        """
        names, place, at, links = [name for name in key.split("/") if name], self._file["/"], "/", 0
        with _damage_reported(repr(key)):
            while names:
                name, *names = names
                link = place.get(name, getlink=True) if isinstance(place, h5py.Group) else None
                if link is None:
                    return None
                if isinstance(link, h5py.ExternalLink):
                    raise DataError(
                        f"{key!r} lies in another file ({link.filename}), which is not opened; give that file, or copy "
                        "both into one: h5repack merges no links, h5copy -f ext does"
                    )
                if isinstance(link, h5py.SoftLink):
                    links += 1
                    if links > MOST_LINKS:
                        raise DataError(f"{key!r} is a circle of links; correct the file")
                    target = posixpath.normpath(posixpath.join(at, link.path))
                    names, place, at = [*[n for n in target.split("/") if n], *names], self._file["/"], "/"
                    continue
                place, at = place[name], posixpath.join(at, name)
        return place

    def _walk(self, unfollowed: list[str]) -> Iterator[str]:
        """Yield the path of every dataset that the file itself holds, those in groups under one name; circles end.

        What is to be said of a link that leads elsewhere is appended to ``unfollowed``.
        """
        groups, seen, count = [("", self._file["/"])], set(), 0
        while groups:
            prefix, group = groups.pop()
            for name in group:
                count += 1
                if count > MOST_OBJECTS:
                    raise DataError(f"found more than {MOST_OBJECTS} objects, expected a scan; split the file")
                key = f"{prefix}{name}"
                hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
                try:
                    member = group[name] if hard else self._found(key)
                except DataError as error:
                    unfollowed.append(str(error))
                    continue
                if isinstance(member, h5py.Dataset):
                    yield key
                elif hard and isinstance(member, h5py.Group):
                    address = h5py.h5o.get_info(member.id).addr
                    if address not in seen:
                        seen.add(address)
                        groups.append((f"{key}/", member))


@contextmanager
def open_hdf5(path: Path, scratch: Path | None = None) -> Iterator[Hdf5]:
    """Open an HDF5 file without locking it: it may lie where nothing can be written, and may still grow.

    A DataError raised in the block gets the name of the file. Large arrays are unpacked into files in ``scratch``.

    Raises
    ------
    DataError
        The file is damaged or incomplete.
    """
    try:
        try_file(path)
        with _damage_reported("the file"):
            file = h5py.File(path, "r", locking=False)
        with file:
            yield Hdf5(file, path, scratch)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def _damage_reported(what: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{what} can't be read as HDF5 ({' '.join(str(error).split())}); it is damaged or incomplete: copy or "
            "download it again"
        ) from error


def _check_storage(key: str, dataset: h5py.Dataset, largest: float) -> None:
    if dataset.shape is None:
        raise DataError(f"{key!r} is empty, expected numbers; write them")
    if dataset.external:
        raise DataError(f"{key!r} keeps its values in another file, which is not opened; run h5repack on the file")
    if dataset.dtype.kind not in f"{PLAIN}V" and not _is_text(dataset.dtype):
        raise DataError(f"{key!r} holds {dataset.dtype}, expected plain numbers or text; store those")
    size, stored = dataset.nbytes, dataset.id.get_storage_size()
    if size > largest and dataset.id.get_offset() is None:
        raise DataError(f"{key!r} declares {size / 2**30:.0f} GiB, expected at most {largest / 2**30:.0f}; {SPLIT}")
    if not dataset.is_virtual and size > max(SMALL, UNPACKS * stored):
        raise DataError(f"{key!r} declares {size} bytes and stores {stored}; the file was not written to its end")
    _check_filters(key, dataset)


def _parts(key: str, dataset: h5py.Dataset) -> Iterator[NDArray[Any]]:
    """Yield an array some rows at a time, whole chunks of them."""
    chunk = 1 if dataset.chunks is None else dataset.chunks[0]
    step = max(1, BLOCK * len(dataset) // (dataset.nbytes * chunk)) * chunk
    for start in range(0, len(dataset), step):
        with _damage_reported(repr(key)):
            part = np.asarray(dataset[start : start + step])
        yield part


def _check_filters(key: str, dataset: h5py.Dataset) -> None:
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(index) for index in range(plist.get_nfilters())]
    missing = [(code, name) for code, _, _, name in filters if not h5py.h5z.filter_avail(code)]
    if not missing:
        return
    with suppress(ModuleNotFoundError):
        import hdf5plugin  # noqa: F401  # importing it teaches HDF5 its filters
    left = [(code, name) for code, name in missing if not h5py.h5z.filter_avail(code)]
    if left:
        code, name = left[0]
        raise DataError(
            f"{key!r} is compressed with filter {code} ({name.decode('utf-8', 'replace') or 'unnamed'}), which is not "
            'installed; pip install "ptychopinn[io]"'
        )


def _is_text(dtype: np.dtype[Any]) -> bool:
    return h5py.check_string_dtype(dtype) is not None


def _joined(array: NDArray[Any]) -> NDArray[Any]:
    for real, imaginary in COMPLEX:
        if array.dtype.names == (real, imaginary):
            joined: NDArray[Any] = array[real] + 1j * array[imaginary]
            return joined
    raise DataError(f"found values of type {array.dtype}, expected plain numbers; store those")
