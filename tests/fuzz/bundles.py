"""Trained weights that somebody who means harm has changed, with hashes that agree again."""

import hashlib
import io
import json
import struct
import zipfile
from random import Random

from tests.fuzz.flips import damaged
from tests.fuzz.hdf5 import odd_hdf5
from tests.fuzz.texts import odd_json
from tests.fuzz.zips import odd_zip, zipped


def odd_bundle(rng: Random, raw: bytes) -> bytes:
    """Return a bundle with one member odd, mostly with hashes that agree."""
    if rng.random() < 0.2:
        return odd_zip(rng, raw)
    members = _members(raw)
    name = rng.choice(sorted(members))
    members[name] = (
        odd_safetensors(rng, members[name]) if name.endswith("safetensors") else odd_json(rng, members[name])
    )
    if name != "manifest.json":
        manifest = json.loads(members["manifest.json"])
        manifest["sha256"] = {each: hashlib.sha256(members[each]).hexdigest() for each in manifest["sha256"]}
        members["manifest.json"] = json.dumps(manifest).encode()
    return zipped(rng, members)


def odd_safetensors(rng: Random, raw: bytes) -> bytes:
    """Return weights with a header that lies about names, types, shapes or places."""
    length = struct.unpack("<Q", raw[:8])[0]
    header, rest = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    name = rng.choice([key for key in header if key != "__metadata__"])
    kind = rng.randrange(7)
    if kind == 0:
        header[name]["data_offsets"] = rng.choice(([0, 2**63], [5, 1], [0, 0], [-1, 4], [0, 2**40]))
    elif kind == 1:
        header[name]["shape"] = rng.choice(([2**62, 2**62], [0], [-1], [2**31, 2**31], [], [1] * 99))
    elif kind == 2:
        header[name]["dtype"] = rng.choice(("F64", "I8", "F8_E4M3", "BOOL", "object", "U64", "BF16", "C64"))
    elif kind == 3:
        header[rng.choice(("probe_parts", "\x1b[2J", "x" * 9999, "__metadata__"))] = header.pop(name)
    elif kind == 4:
        rest = rest[: rng.randrange(len(rest))] + rng.choice((b"", b"\xff" * 64))
    elif kind == 5:
        rest = damaged(rng, rest, 3)
    else:
        return struct.pack("<Q", rng.choice((0, 2**63, length + 1, 2**40, 2**27))) + raw[8:]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def odd_tensorflow_archive(rng: Random, raw: bytes) -> bytes:
    """Return an archive of TensorFlow whose network, or the zip file that it is, is odd."""
    members = _members(raw)
    if rng.random() < 0.1:
        return odd_zip(rng, raw)
    if rng.random() < 0.15:
        name = "diffraction_to_obj/model.h5"
        members[name] = _hdf5(rng, members[name])
        return zipped(rng, members)
    name = "diffraction_to_obj/model.keras"
    inner = _members(members[name])
    if rng.random() < 0.3:
        inner["config.json"] = odd_json(rng, inner["config.json"])
    else:
        inner["model.weights.h5"] = _hdf5(rng, inner["model.weights.h5"])
    members[name] = zipped(rng, inner)
    return zipped(rng, members)


def odd_torch_archive(rng: Random, raw: bytes) -> bytes:
    """Return an archive of the PyTorch port whose pickled tensors are odd."""
    members = _members(raw)
    if rng.random() < 0.1:
        return odd_zip(rng, raw)
    name = rng.choice(("diffraction_to_obj/model.pth", "diffraction_to_obj/model.pth", "torch_scaling_metadata.pt"))
    members[name] = odd_zip(rng, members[name]) if rng.random() < 0.8 else damaged(rng, members[name])
    return zipped(rng, members)


def _hdf5(rng: Random, raw: bytes) -> bytes:
    return damaged(rng, raw) if rng.random() < 0.6 else odd_hdf5(rng, raw)


def _members(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
