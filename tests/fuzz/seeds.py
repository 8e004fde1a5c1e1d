"""Small good files of every layout, made by code and the same in every run.

A seed is a folder, name of a file -> its bytes; the first is the one that a user names, who of a folder with a manifest
names the folder.
"""

import bz2
import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.files import to_yaml
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.persistence.bundle import write_bundle
from ptycho_torch.pinn.build import Constants, build
from tests.fuzz.zips import undated
from tests.laws.beamlines import BEAMLINES
from tests.laws.layouts import LAYOUTS, Written, known_scan
from tests.persistence.older_archives import OldNetwork, constant_network, torch_state, write_torch_archive

SIZE, FRAMES = 16, 9
MANIFEST = "manifest.json"
Seed = dict[str, bytes]


def counts() -> np.ndarray:
    """Patterns (position, y, x) of a spot in the middle."""
    axis = np.arange(SIZE) - SIZE // 2
    spot = 50 * np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 8)
    return np.random.default_rng(0).poisson(spot, (FRAMES, SIZE, SIZE)).astype(np.uint16)


def probe() -> np.ndarray:
    """A disk (y, x)."""
    axis = np.arange(SIZE) - SIZE // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    return (5 * np.exp(0.05j * radius**2) * (radius < 4)).astype(np.complex64)


def positions() -> np.ndarray:
    """(position, 2), (y, x), px."""
    return 10.0 + 2 * np.stack(np.divmod(np.arange(FRAMES), 3), axis=1) + 0.25


@cache
def scans() -> tuple[Seed, ...]:
    """Files of the documented layout: plain, with every companion, with frames last, in bz2; and of tike's layout."""
    y, x = positions().T
    plain = {"diff3d": counts(), "xcoords": x, "ycoords": y, "probeGuess": probe()}
    companions = {
        "nphotons": np.array(1e4),
        "bad_pixels": np.zeros((SIZE, SIZE), bool),
        "mask": np.ones((SIZE, SIZE), np.uint8),
        "scan_index": np.arange(FRAMES),
        "objectGuess": np.ones((30, 30), np.complex64),
        "Y": np.ones((FRAMES, SIZE, SIZE), np.complex64),
        "xcoords_start": x,
        "ycoords_start": y,
        "_metadata": np.array(json.dumps({"physics_parameters": {"nphotons": 1e4}})),
    }
    stated = {"quantity": np.array("amplitude"), "count_scale": np.array(2.0), "origin": np.array("a test")}
    last = {"diffraction": np.asfortranarray(np.moveaxis(np.sqrt(counts()), 0, -1).astype(np.float32)), **stated}
    tike = {
        "data": np.fft.ifftshift(counts(), axes=(-2, -1))[None].astype(np.float32),
        "scan": positions()[None].astype(np.float32),
        "probe": probe()[None, None, None, None],
    }
    exported = {"bad_pixels": companions["bad_pixels"], "probeGuess": probe()[None]}
    files = (
        _npz(plain),
        _npz(plain | companions),
        _npz({key: array for key, array in plain.items() if key != "diff3d"} | last),
        _npz(plain | exported),
        bz2.compress(_npz(plain)),
        _npz(tike),
    )
    return tuple({"scan.npz": content} for content in files)


@cache
def beamlines() -> tuple[Seed, ...]:
    """Scans as the software of beamlines writes them, mostly HDF5, with what lies beside them."""
    makers = (LAYOUTS | BEAMLINES).values()
    return tuple(_folder(lambda folder, write=write: write(folder, known_scan())) for write in makers)


@cache
def reconstructions() -> tuple[Seed, ...]:
    """What a reconstruction is written to."""
    object_ = np.full((24, 30), 1 + 0.5j, np.complex64)
    made = Reconstruction(
        object_, np.ones((24, 30), np.float32), np.zeros(2), probe()[None], positions(), {"deviance": [2.0, 1.0]}
    )
    return (_written("reconstruction.npz", made.write),)


@cache
def bundles() -> tuple[Seed, ...]:
    """The smallest trained network."""
    config = TrainingConfig(ModelConfig(N=32, lean_width=8), output_dir=Path("run"))
    torch.manual_seed(0)
    pinn = build(config.model, config, Constants(torch.ones(1, 32, 32, dtype=torch.complex64), 1.0))
    return (_written("wts.h5.zip", lambda path: write_bundle(path, pinn, config)),)


@cache
def tensorflow_archives() -> tuple[Seed, ...]:
    """An archive of the older software, of TensorFlow."""
    with tempfile.TemporaryDirectory() as folder:
        file = constant_network(0.5, 0.1).write(Path(folder))
        return ({file.name: undated(file.read_bytes(), "diffraction_to_obj/model")},)


@cache
def torch_archives() -> tuple[Seed, ...]:
    """An archive of the older software, of its PyTorch port."""
    with tempfile.TemporaryDirectory() as folder:
        state = {name: 0 * tensor for name, tensor in torch_state(OldNetwork()).items()}
        file = write_torch_archive(Path(folder), state, {"model_config": {"probe_big": True}})
        return ({file.name: undated(file.read_bytes())},)


@cache
def configurations() -> tuple[Seed, ...]:
    """Configurations as they are written."""
    plain = TrainingConfig(ModelConfig(N=64))
    texts = (to_yaml(plain).encode(), b"model:\n  N: 64\nnepochs: 3\n")
    return tuple({"config.yaml": text} for text in texts)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays) if "nphotons" in arrays else np.savez(stream, **arrays)
    return undated(stream.getvalue())


def _written(name: str, write: Callable[[Path], None]) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return {name: undated(path.read_bytes())}


def _folder(write: Callable[[Path], Written]) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        named = write(Path(folder)).path
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    first = next(name for name in (named.name, MANIFEST, "diffraction.h5") if name in files)
    files = {name: undated(raw) if raw.startswith(b"PK") else raw for name, raw in files.items()}
    return {first: files.pop(first), **files}
