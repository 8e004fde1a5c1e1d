"""Zip files that may be anything: what an entry promises is judged before memory is taken."""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ptycho.base.errors import BundleError, PtychoError
from ptycho.base.zips import objection

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    # Names that are no text, members that begin before their archive.
    ValueError,
)


@contextmanager
def open_zip(source: Path | bytes, where: str, advice: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file, or one inside another; damage that shows while the block reads it is told in one line.

    Raises
    ------
    BundleError
        It is no zip file, damaged, or made to do harm; the message begins with ``where`` and ends with ``advice``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            if reason := objection(archive):
                raise BundleError(f"{where} {reason}; {advice}")
            yield archive
    except PtychoError:
        raise
    except DAMAGE as error:
        raise BundleError(f"{where} can't be read ({error}); the file is damaged or no bundle; {advice}") from error


def read_members(archive: zipfile.ZipFile, limits: Mapping[str, int], where: str, advice: str) -> dict[str, bytes]:
    """Return members of an open zip file, by name.

    Parameters
    ----------
    limits
        Name of a member -> bytes that it may have when unpacked.

    Raises
    ------
    BundleError
        One would have more: none is unpacked then.
    """
    found = {name: archive.getinfo(name) for name in limits}
    for name, info in found.items():
        check_size(where, name, info.file_size, limits[name], advice)
    return {name: _read(archive, info) for name, info in found.items()}


def check_size(where: str, name: str, size: int, limit: int, advice: str) -> None:
    """Refuse a member of more bytes than it may have.

    Raises
    ------
    BundleError
        With both numbers.
    """
    if size > limit:
        raise BundleError(f"{where}: {name} unpacks to {size} bytes; expected {limit} at most; {advice}")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # No more is unpacked than the entry promises: one that lies about its size fails its checksum.
    with archive.open(info) as stream:
        return stream.read(info.file_size)
