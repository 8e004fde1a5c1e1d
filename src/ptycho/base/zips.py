"""Zip files from anybody: what their directory alone gives away is found before any member is opened."""

import stat
import zipfile
from pathlib import PurePosixPath

PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UNPACKS = 1032  # bytes that deflate makes of one at most (https://zlib.net/zlib_tech.html)
SMALL = 2**20
ENCRYPTED = 0x1


def objection(archive: zipfile.ZipFile) -> str | None:
    """Return what is wrong with a member, with what was expected; None when nothing is.

    Members are never unpacked to a disk; names that lead elsewhere and links are the mark of a file that means harm to
    whoever unpacks it.
    """
    names = set()
    for info in archive.infolist():
        if info.filename in names:
            return f"holds {info.filename!r} twice, expected each member once"
        names.add(info.filename)
        if reason := _objection(info):
            return f"holds {info.filename!r}, {reason}"
    return None


def _objection(info: zipfile.ZipInfo) -> str | None:
    # zipfile writes the separator of the machine as "/"; what is left of another one is no honest name.
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or info.filename[1:2] == ":":
        return "a path that leads out of the archive, expected names inside it"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a symbolic link, expected plain members"
    if info.flag_bits & ENCRYPTED:
        return "which is encrypted, expected plain members"
    if info.compress_type not in PLAIN:
        return f"packed by method {info.compress_type}, expected stored or deflated members"
    if info.file_size > SMALL + UNPACKS * info.compress_size:
        return f"which would unpack to {info.file_size} bytes from {info.compress_size}, expected no zip bomb"
    return None
