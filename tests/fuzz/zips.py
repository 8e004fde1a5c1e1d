"""Zip files that no honest program writes."""

import io
import re
import stat
import struct
import warnings
import zipfile
import zlib
from random import Random

from tests.fuzz.flips import damaged

ESCAPES = (
    "../outside",
    "/tmp/outside",
    "..\\outside",
    "C:\\outside",
    "a/../../outside",
    "\x1b[2J",
    "a\nb",
    "<script>",
    "é" * 99,
)
# NumPy and torch store or deflate; files packed otherwise are refused before anything else is looked at.
METHODS = (*(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) * 10, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zipped(rng: Random, members: dict[str, bytes]) -> bytes:
    """Return members as a zip file, now and then with something that does not belong there."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", rng.choice(METHODS)) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in members.items():
            add(archive, name, content)
        if rng.random() < 0.1:
            rng.choice(GUESTS)(rng, archive, members)
    raw = stream.getvalue()
    return rng.choice(LIES)(rng, raw) if rng.random() < 0.1 else raw


def add(archive: zipfile.ZipFile, name: str, content: bytes, method: int | None = None) -> None:
    """Write a member that says nothing of when it was written, so that a run can be repeated byte by byte."""
    archive.writestr(zipfile.ZipInfo(name), content, archive.compression if method is None else method)


def undated(raw: bytes, start: str = "") -> bytes:
    """Return a zip file without the times of its members, those whose names begin with ``start``."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(stream, "w") as archive:
        for info in source.infolist():
            if info.filename.startswith(start):
                add(archive, info.filename, source.read(info), info.compress_type)
    return stream.getvalue()


def odd_zip(rng: Random, raw: bytes) -> bytes:
    """Return a zip file with a member damaged, missing, renamed or exchanged, its checksums right."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    kind = rng.randrange(5)
    if kind == 0:
        members[rng.choice(ESCAPES)] = members.pop(name)
    elif kind == 1:
        members[name], other = members[rng.choice(sorted(members))], members[name]
        members[rng.choice(sorted(members))] = other
    elif kind == 2:
        members[name] = raw if rng.random() < 0.5 else bytes(rng.choice((0, 1, 2**22)))
    else:
        members[name] = damaged(rng, members[name], 3)
    return zipped(rng, members)


def _escaping(rng: Random, archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    add(archive, rng.choice(ESCAPES) + rng.choice(("", ".npy")), rng.choice((b"", *members.values())))


def _twice(rng: Random, archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    name = rng.choice(sorted(members) or ["a.npy"])
    add(archive, name, damaged(rng, members.get(name, b"")))


def _link(rng: Random, archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    link = zipfile.ZipInfo(rng.choice((*sorted(members), "link.npy")))
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, rng.choice(("/etc/passwd", "../canary")))


def _bomb(rng: Random, archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    name = rng.choice((*sorted(members), "bomb.npy"))
    add(archive, name, bytes(2**25), rng.choice(METHODS))


def _crowd(rng: Random, archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    for number in range(rng.choice((10, 1000))):
        add(archive, f"{number}.npy", b"")


def _sizes(rng: Random, raw: bytes) -> bytes:
    """Say another size in the directory of the zip file."""
    content = bytearray(raw)
    at = _record(rng, content, b"PK\x01\x02")
    if at >= 0:
        field = at + rng.choice((8, 10, 16, 20, 24, 28, 30, 32, 42))
        value = rng.choice((0, 1, 2**16 - 1, 2**30, 2**32 - 1, rng.getrandbits(32)))
        content[field : field + 4] = struct.pack("<I", value)
    return bytes(content)


def _end(rng: Random, raw: bytes) -> bytes:
    """Lie in the record at the end: how many members, where their directory is, how long the comment."""
    content = bytearray(raw)
    at = content.rfind(b"PK\x05\x06")
    if at >= 0:
        field = at + rng.choice((4, 8, 10, 12, 16, 20))
        content[field : field + 2] = struct.pack("<H", rng.choice((0, 1, 0xFFFF, rng.getrandbits(16))))
    return bytes(content)


def _overlapping(rng: Random, raw: bytes) -> bytes:
    """Let every entry of the directory point at one member."""
    content = bytearray(raw)
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 42 : at + 46] = bytes(4)
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(content)


def _bomb_of_one_stream(rng: Random, raw: bytes) -> bytes:
    """A deflated member of 64 MiB of zeros that says it is small."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(2**26)) + packer.flush()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        add(archive, "diff3d.npy", packed)
    content = bytearray(stream.getvalue())
    content[8:10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    at = content.find(b"PK\x01\x02")
    content[at + 10 : at + 12] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    content[at + 24 : at + 28] = struct.pack("<I", rng.choice((100, 2**26, 2**31)))
    return bytes(content)


def _record(rng: Random, content: bytearray, signature: bytes) -> int:
    return rng.choice([found.start() for found in re.finditer(re.escape(signature), content)] or [-1])


GUESTS = (_escaping, _escaping, _twice, _twice, _link, _link, _bomb, _crowd)
LIES = (_sizes, _sizes, _sizes, _end, _overlapping, _bomb_of_one_stream)
