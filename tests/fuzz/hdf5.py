"""HDF5 files that reach outside themselves, go in circles, or are larger inside than outside."""

import io
from contextlib import suppress
from random import Random

import h5py
import numpy as np

from tests.fuzz.arrays import odd_array


def odd_hdf5(rng: Random, raw: bytes) -> bytes:
    """Return an HDF5 file with some of its objects exchanged for odd ones."""
    stream = io.BytesIO(raw)
    with h5py.File(stream, "r+") as file:
        paths: list[str] = []
        file.visit(paths.append)
        for _ in range(rng.choice((1, 1, 2, 4))):
            # HDF5 itself refuses some of it, mostly in places that an earlier change made odd.
            with suppress(OSError, RuntimeError, ValueError, TypeError, KeyError):
                rng.choice(CHANGES)(rng, file, rng.choice(paths or ["a"]))
    return stream.getvalue()


def _taken(file: h5py.File, path: str) -> str:
    """Return a name that is free: that of ``path``, or one in its place where something lies across the way."""
    try:
        del file[path]
    except (KeyError, ValueError, OSError, RuntimeError):
        return f"odd{len(file)}"
    return path


def _values(rng: Random, file: h5py.File, path: str) -> None:
    found = file.get(path)
    if isinstance(found, h5py.Dataset) and found.dtype.kind in "iufc" and found.size and found.size < 2**20:
        array = odd_array(rng, found[()] if found.ndim else np.array(found[()]))
        if array.dtype.kind not in "UMmO":
            file[_taken(file, path)] = array


def _text(rng: Random, file: h5py.File, path: str) -> None:
    file[_taken(file, path)] = rng.choice(("", "\x1b[2J", "<script>", "x" * 70000, "a\nb", b"\xff\xfe", ["a", "b"]))


def _gone(rng: Random, file: h5py.File, path: str) -> None:
    _taken(file, path)


def _exchange(rng: Random, file: h5py.File, path: str) -> None:
    place = _taken(file, path)
    if rng.random() < 0.5:
        file.create_group(place)
    else:
        file.create_dataset(place, data=rng.choice((3, np.nan, h5py.Empty("f4"), np.zeros((0, 4)))))


def _external_link(rng: Random, file: h5py.File, path: str) -> None:
    file[_taken(file, path)] = h5py.ExternalLink(rng.choice(("canary.h5", "/etc/passwd", "../canary.h5", "")), "/data")


def _external_storage(rng: Random, file: h5py.File, path: str) -> None:
    where = [(rng.choice(("canary", "/etc/passwd", "../canary", "/dev/zero")), 0, rng.choice((64, h5py.h5f.UNLIMITED)))]
    file.create_dataset(_taken(file, path), (64,), "u1", external=where)


def _virtual(rng: Random, file: h5py.File, path: str) -> None:
    layout = h5py.VirtualLayout((9, 16, 16), "u2")
    source = rng.choice(("canary.h5", ".", "%b.h5", "/etc/passwd"))
    layout[...] = h5py.VirtualSource(source, rng.choice(("data", path)), (9, 16, 16))
    file.create_virtual_dataset(_taken(file, path), layout)


def _soft_link(rng: Random, file: h5py.File, path: str) -> None:
    place = _taken(file, path)
    file[place] = h5py.SoftLink(rng.choice((f"/{place}", "/", "nowhere", "../..", "/" + "a/" * 500)))


def _hard_cycle(rng: Random, file: h5py.File, path: str) -> None:
    group = file[path] if isinstance(file.get(path), h5py.Group) else file
    group[f"again{len(group)}"] = file["/"]


def _deep(rng: Random, file: h5py.File, path: str) -> None:
    group = file
    for _ in range(rng.choice((100, 900))):
        group = group.create_group("g")


def _crowd(rng: Random, file: h5py.File, path: str) -> None:
    for number in range(500):
        file.create_group(f"crowd{len(file)}{number}")


def _attribute(rng: Random, file: h5py.File, path: str) -> None:
    found = file.get(path) or file
    name = rng.choice((*found.attrs, "name", "units", "\x1b[2J"))
    value = rng.choice(
        ("x" * 60000, np.zeros(8000), b"\xff", h5py.Empty("f4"), file.ref, "\x1b[31m", np.array([], "f4"))
    )
    found.attrs[name] = value


def _hollow(rng: Random, file: h5py.File, path: str) -> None:
    """Declare far more than is stored."""
    shape = rng.choice(((2**20, 16, 16), (9, 2**20, 2**20), (2**40,), (2**31, 2**31)))
    file.create_dataset(_taken(file, path), shape, "f4", chunks=rng.choice((True, tuple(min(16, n) for n in shape))))


def _bomb(rng: Random, file: h5py.File, path: str) -> None:
    """Zeros that compress a thousandfold."""
    shape = rng.choice(((64, 512, 512), (2**24,)))
    file.create_dataset(_taken(file, path), shape, "u1", np.zeros(shape, "u1"), compression="gzip", chunks=shape)


def _filtered(rng: Random, file: h5py.File, path: str) -> None:
    options = rng.choice(
        ({"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True}, {"fletcher32": True}, {"scaleoffset": 3})
    )
    file.create_dataset(
        _taken(file, path), data=np.arange(2304, dtype="i4").reshape(9, 16, 16), chunks=(3, 8, 16), **options
    )


def _compound(rng: Random, file: h5py.File, path: str) -> None:
    dtype = rng.choice(
        (
            np.dtype([("r", "f4"), ("i", "f4")]),
            np.dtype([("a", "S3")]),
            h5py.string_dtype(),
            h5py.vlen_dtype("i4"),
            h5py.ref_dtype,
        )
    )
    file.create_dataset(_taken(file, path), (9,), dtype)


CHANGES = (
    *(_values, _values, _values, _values, _text, _gone, _exchange, _external_link, _external_storage, _virtual),
    *(_soft_link, _hard_cycle, _deep, _crowd, _attribute, _hollow, _bomb, _filtered, _compound),
)
