"""NumPy arrays that nobody expects, and npy and npz files that lie about theirs."""

import io
import pickle
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.flips import damaged
from tests.fuzz.zips import zipped

TYPES = (
    "|b1",
    "<i1",
    "<u2",
    ">i4",
    "<u8",
    "<f2",
    ">f4",
    "<f8",
    "<c8",
    "<c16",
    "<U3",
    "|S5",
    "<M8[ns]",
    "<m8[s]",
    "|V3",
)
LENGTHS = (0, 1, 2, 3, 9, 16, 17, 2**20, 2**31, 2**62, 2**63 - 1, 2**64, -1, True)
NAMES = ("diff3d", "probeGuess", "xcoords", "ycoords", "nphotons", "mask", "bad_pixels", "Y", "_metadata", "quantity")


class Runs:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def odd_array(rng: Random, array: np.ndarray) -> np.ndarray:
    """Return ``array`` with another shape, type or values."""
    return rng.choice(CHANGES)(rng, array)


def odd_npz(rng: Random, raw: bytes) -> bytes:
    """Return an npz with some arrays or their headers changed, and its checksums right."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice(sorted(members) or ["a.npy"])
        change = rng.choice((_array, _array, _header, _pickled, _text, _gone, _twin, _bytes))
        change(rng, members, name)
    return zipped(rng, members)


def odd_npy(rng: Random, raw: bytes) -> bytes:
    """Return one array in its file, changed."""
    members = {"a": raw}
    rng.choice((_array, _array, _header, _pickled, _bytes))(rng, members, "a")
    return members["a"]


def npy(array: np.ndarray) -> bytes:
    """Return an array as a file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def header(rng: Random) -> bytes:
    """Return the header of an array that is not there, with lengths and a type of anything."""
    shape = ", ".join(str(rng.choice(LENGTHS)) for _ in range(rng.choice((0, 1, 2, 3, 4, 40)))) + ","
    descr = rng.choice((*map(repr, TYPES), "'|O'", "[('a', '<f8', (2**30,))]", "'<f8' * 9", "[" * 200, "'<U999999999'"))
    shape = rng.choice((f"({shape})", "(" * 150 + ")" * 150, "-" * 3000 + "1", "None", "'9'"))
    text = f"{{'descr': {descr}, 'fortran_order': {rng.choice(('True', 'False', '3'))}, 'shape': {shape}, }}"
    return _prefixed(rng, (text + " " * rng.choice((0, 0, 20000, 70000)) + "\n").encode())


def _prefixed(rng: Random, text: bytes) -> bytes:
    version, width = rng.choice((((1, 0), 2), ((2, 0), 4), ((3, 0), 4), ((9, 9), 2)))
    told = rng.choice((len(text), len(text), len(text), 0, 2**31)) % 2 ** (8 * width)
    return b"\x93NUMPY" + bytes(version) + told.to_bytes(width, "little") + text


def _array(rng: Random, members: dict[str, bytes], name: str) -> None:
    try:
        members[name] = npy(odd_array(rng, np.load(io.BytesIO(members[name]))))
    except Exception:  # an earlier change left no array there
        members[name] = npy(np.zeros(rng.randrange(20)))


def _header(rng: Random, members: dict[str, bytes], name: str) -> None:
    members[name] = header(rng) + members[name][128 : rng.choice((128, 4096))]


def _pickled(rng: Random, members: dict[str, bytes], name: str) -> None:
    content = npy(np.array([Runs(), {"nphotons": 1}], dtype=object)) if rng.random() < 0.7 else pickle.dumps(Runs())
    members[name] = content if rng.random() < 0.7 else damaged(rng, content)


def _text(rng: Random, members: dict[str, bytes], name: str) -> None:
    content = rng.choice(
        ('{"physics_parameters": {"nphotons": NaN}}', "[" * 5000, '{"a":' * 5000, "\x1b[31m", "1e999", "{}")
    )
    members[rng.choice((name, "_metadata.npy", "quantity.npy", "origin.npy"))] = npy(np.array(content))


def _gone(rng: Random, members: dict[str, bytes], name: str) -> None:
    del members[name]
    if not members:
        members["a.npy"] = npy(np.zeros(3))


def _twin(rng: Random, members: dict[str, bytes], name: str) -> None:
    members[f"{rng.choice(NAMES)}.npy"] = members[name]


def _bytes(rng: Random, members: dict[str, bytes], name: str) -> None:
    members[name] = damaged(rng, members[name], 3)


def _reshaped(rng: Random, array: np.ndarray) -> np.ndarray:
    ways = (
        lambda: array.reshape(-1),
        lambda: array[None],
        lambda: array[..., None],
        lambda: array.T,
        lambda: array[: rng.randrange(1 + len(array))],
        lambda: array.reshape(-1)[:1].reshape(()),
        lambda: np.broadcast_to(array, (2, *array.shape)),
        lambda: array[..., : rng.randrange(1 + array.shape[-1])],
        lambda: np.moveaxis(array, 0, -1),
    )
    return rng.choice(ways)() if array.ndim and array.size else np.zeros((0,) * rng.randrange(4))


def _retyped(rng: Random, array: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        try:
            return array.astype(rng.choice(TYPES))
        except (TypeError, ValueError):
            return np.zeros(array.shape, rng.choice(TYPES))


def _valued(rng: Random, array: np.ndarray) -> np.ndarray:
    value = rng.choice((np.nan, np.inf, -np.inf, -1, 0, 1e300, 1e38, 1e-310, 2**53, 2**63))
    with np.errstate(all="ignore"):
        changed = np.array(array, dtype=rng.choice((array.dtype, np.float64, np.complex128)))
        if changed.dtype.kind in "fc" and changed.size:
            changed.reshape(-1)[rng.randrange(changed.size) if rng.random() < 0.7 else slice(None)] = value
    return changed


def _zeros(rng: Random, array: np.ndarray) -> np.ndarray:
    # Compresses a thousandfold.
    shape = rng.choice(((9, 512, 512), (2000, 64, 64), (2**22,), (4096, 1024)))
    return np.zeros(shape, rng.choice(("<u1", "<f4")))


CHANGES = (_reshaped, _reshaped, _reshaped, _retyped, _retyped, _valued, _valued, _valued) * 4 + (_zeros,)
