"""Read a scan that lies in a folder of ours: patterns that are mapped, all else in an npz, and what binds the two."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ptycho.acquisition.readers.archive import DAMAGE, Archive, open_archive
from ptycho.acquisition.readers.kinds import NETWORK, kind_of_folder
from ptycho.acquisition.readers.loose import map_npy
from ptycho.base.errors import DataError
from ptycho.base.mapped import map_of

SUFFIX = ".scan"
MANIFEST, PATTERNS, ARRAYS = "manifest.json", "patterns.npy", "scan.npz"
KEY = "diff3d"  # of the patterns, in the documented layout
FORMAT, VERSION = "ptychopinn scan", 1
AGAIN = "copy the folder again, or write it again with `ptycho convert`"


class Folder(Archive):
    """The arrays of an open folder by key: those of its npz, and the patterns."""

    def __init__(self, archive: Archive, patterns: NDArray[Any]) -> None:
        super().__init__(archive.file, archive.path)
        self.keys |= {KEY}
        self._archive, self._patterns = archive, patterns

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return the array called ``key``, patterns mapped; DataError as `Archive` has it."""
        return self._patterns if key == KEY else super().__getitem__(key)

    def get(self, key: str) -> NDArray[Any] | None:
        """Return the array called ``key``, or None when there is none."""
        return self[key] if key in self.keys else None

    def headers(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return shape and dtype of every array by key."""
        return dict(
            sorted(({KEY: (self._patterns.shape, str(self._patterns.dtype))} | self._archive.headers()).items())
        )


def recognise(source: object) -> bool:
    """Say whether an open file is a folder of ours."""
    return isinstance(source, Folder)


def is_folder(path: Path) -> bool:
    """Say whether a path is a folder with a scan of ours, or should be one."""
    if not path.is_dir():
        return False
    # An unpacked network has a manifest too.
    return path.suffix.lower() == SUFFIX or ((path / MANIFEST).is_file() and kind_of_folder(path) != NETWORK)


@contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    """Open a folder that `ptycho.acquisition.writers.folder.write_folder` wrote.

    A DataError raised in the block gets the name of the folder.

    Raises
    ------
    DataError
        A file is missing, damaged, cut short, or of another scan.
    """
    try:
        _require_files(path)
        manifest = read_manifest(path)
        patterns = _patterns(path, manifest)
        if sha256_of(path / ARRAYS) != manifest["arrays"]["sha256"]:
            raise DataError(f"{ARRAYS} is not the one that {MANIFEST} names; {AGAIN}")
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    with open_archive(path / ARRAYS) as archive:
        yield Folder(archive, patterns)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return what the manifest of a folder says: its files with shape, type and hash.

    Raises
    ------
    DataError
        There is none, it is damaged, or of a later version.
    """
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version = found["version"] if found["format"] == FORMAT else None
        fields = [found["patterns"][name] for name in ("shape", "dtype", "sha256")] + [found["arrays"]["sha256"]]
    except FileNotFoundError as error:
        raise DataError(f"found no {MANIFEST} in the folder, expected a scan; {AGAIN}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{MANIFEST} can't be read ({' '.join(str(error).split())}); {AGAIN}") from error
    if version != VERSION or None in fields:
        raise DataError(f"found a scan of version {version}, expected {VERSION}; install a newer ptychopinn")
    manifest: dict[str, Any] = found
    return manifest


def _require_files(path: Path) -> None:
    """Refuse what is there and is no file: a pipe would be waited for."""
    for name in (MANIFEST, PATTERNS, ARRAYS):
        if (path / name).exists() and not (path / name).is_file():
            raise DataError(f"{name} is a folder, a pipe or a device, expected a file; {AGAIN}")


def _patterns(path: Path, manifest: dict[str, Any]) -> NDArray[Any]:
    stated = manifest["patterns"]["shape"], manifest["patterns"]["dtype"]
    try:
        mapped = map_npy(path / PATTERNS)
    except FileNotFoundError as error:
        raise DataError(f"found no {PATTERNS} in the folder, expected the patterns of the scan; {AGAIN}") from error
    except (*DAMAGE, MemoryError, OverflowError) as error:
        raise DataError(f"{PATTERNS} can't be read ({' '.join(str(error).split())}); {AGAIN}") from error
    if stated != (list(mapped.shape), mapped.dtype.str):
        raise DataError(
            f"found {PATTERNS} of shape {list(mapped.shape)} and type {mapped.dtype.str}, expected {stated[0]} and "
            f"{stated[1]} as {MANIFEST} says; {AGAIN}"
        )
    file = map_of(mapped)
    expected, found = len(file) if file else 0, (path / PATTERNS).stat().st_size
    if found != expected:
        raise DataError(f"found {PATTERNS} of {found} bytes, expected {expected}; {AGAIN}")
    return mapped


def sha256_of(path: Path) -> str:
    """Return the hash of a file, as ``sha256sum`` prints it.

    Raises
    ------
    DataError
        It can't be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path.name} can't be read ({error.strerror}); {AGAIN}") from error
