"""Patterns that are mapped are those of the file, in bounded memory, and are unpacked again when the file changes."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest

from ptycho.acquisition.readers import read
from ptycho.acquisition.readers.mapped import BLOCK, mapped_arrays
from ptycho.base.errors import DataError, OutputError

N, n = 8, 11


def scan(patterns):
    x, y = np.random.default_rng(1).uniform(10, 40, (2, n))
    return {"xcoords": x, "ycoords": y, "probeGuess": np.ones((N, N), complex), "diff3d": patterns}


@pytest.fixture
def frames():
    return np.random.default_rng(0).poisson(9, (n, N, N)).astype(np.uint16)


LAYOUTS = {
    "frames first": lambda frames: frames,
    "singleton": lambda frames: frames[..., None],
    "frames last": lambda frames: np.ascontiguousarray(np.moveaxis(frames, 0, -1)),
    "Fortran": np.asfortranarray,
    "Fortran, frames last": lambda frames: np.asfortranarray(np.moveaxis(frames, 0, -1)),
    "swapped bytes": lambda frames: frames.astype(">u2"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("block", [1, 3 * N * N * 2, BLOCK])
def test_every_layout_is_mapped(tmp_path, frames, monkeypatch, save, layout, block):
    monkeypatch.setattr("ptycho.acquisition.readers.mapped.BLOCK", block)
    save(tmp_path / "scan.npz", **scan(LAYOUTS[layout](frames)))
    found = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").patterns
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, frames)


@pytest.mark.parametrize("layout", ["frames first", "singleton", "Fortran, frames last"])
def test_what_lies_ready_is_not_copied(tmp_path, frames, layout):
    np.savez(tmp_path / "scan.npz", **scan(LAYOUTS[layout](frames)))
    found = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").patterns
    assert (tmp_path / "scan.npz").samefile(found.filename)
    assert not (tmp_path / "maps").exists()


def test_the_scan_is_the_same_as_in_memory(tmp_path, frames):
    extra = {"bad_pixels": np.eye(N, dtype=bool), "objectGuess": np.ones((50, 50), np.complex64), "nphotons": 7.0}
    np.savez_compressed(tmp_path / "scan.npz", **scan(frames.astype(np.float32)), **extra)
    mapped, whole = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").acquisition(), read(tmp_path / "scan.npz")
    for name in ("patterns", "positions", "probe", "mask", "object_"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(whole, name))
    assert (mapped.quantity, mapped.count_scale) == (whole.quantity, whole.count_scale)


def test_memory_stays_bounded(tmp_path):
    many, side = 3000, 128
    frames = np.zeros((many, side, side), np.uint8)
    frames[:, ::7, ::5] = (np.arange(many) % 250 + 1)[:, None, None]
    keys = scan(frames) | {key: np.arange(many) * 1.0 for key in ("xcoords", "ycoords")}
    for name, layout in (("first", frames), ("last", np.moveaxis(frames, 0, -1))):
        np.savez_compressed(tmp_path / f"{name}.npz", **keys | {"diff3d": layout, "probeGuess": np.ones((side, side))})
        tracemalloc.start()
        found = mapped_arrays(tmp_path / f"{name}.npz", tmp_path / "maps").patterns
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert frames.nbytes > 10 * BLOCK
        assert peak < 4 * BLOCK
        np.testing.assert_array_equal(found[::100], frames[::100])


def test_a_map_is_used_again_until_the_file_changes(tmp_path, frames):
    path, maps = tmp_path / "scan.npz", tmp_path / "maps"
    np.savez_compressed(path, **scan(frames))
    mapped_arrays(path, maps)
    (target,) = maps.glob("*.npy")
    assert target.name.startswith("scan-")
    assert sorted(file.suffix for file in maps.iterdir()) == [".json", ".npy"]
    first = target.stat().st_ino
    mapped_arrays(path, maps)
    assert target.stat().st_ino == first
    np.savez_compressed(path, **scan(frames + 1))
    np.testing.assert_array_equal(mapped_arrays(path, maps).patterns, frames + 1)
    assert target.stat().st_ino != first


@pytest.mark.parametrize("harm", ["no manifest", "manifest", "map", "older manifest"])
def test_a_map_that_cannot_be_trusted_is_made_again(tmp_path, frames, harm):
    path, maps = tmp_path / "scan.npz", tmp_path / "maps"
    np.savez_compressed(path, **scan(frames))
    mapped_arrays(path, maps)
    (target,), (manifest,) = maps.glob("*.npy"), maps.glob("*.json")
    np.save(target, np.zeros_like(frames))
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "manifest":
        manifest.write_text("{")
    elif harm == "older manifest":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"bytes": 1}))
    else:
        target.write_bytes(target.read_bytes()[:200])
    np.testing.assert_array_equal(mapped_arrays(path, maps).patterns, frames)


def test_files_of_one_name_have_maps_of_their_own(tmp_path, frames):
    for folder, shift in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        np.savez_compressed(tmp_path / folder / "scan.npz", **scan(frames + shift))
    one, other = (mapped_arrays(tmp_path / f / "scan.npz", tmp_path / "maps").patterns for f in "ab")
    np.testing.assert_array_equal(one + 1, other)


def test_bad_files_are_refused_and_leave_nothing(tmp_path, frames):
    cases = {
        "missing": ({"diff3d": None}, "missing diff3d"),
        "pickled": ({"diff3d": np.array([{}] * n, dtype=object)}, "pickled objects"),
        "frames": ({"diff3d": frames[:-1]}, "Unable to align diffraction shape"),
        "square": ({"diff3d": frames[:, :-1]}, "expected square ones"),
    }
    for name, (changed, words) in cases.items():
        keys = {key: array for key, array in (scan(frames) | changed).items() if array is not None}
        np.savez_compressed(tmp_path / f"{name}.npz", **keys)
        with pytest.raises(DataError, match=words):
            mapped_arrays(tmp_path / f"{name}.npz", tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, frames, monkeypatch):
    np.savez_compressed(tmp_path / "scan.npz", **scan(frames))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(OutputError, match="GiB free"):
        mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps")
    assert list((tmp_path / "maps").iterdir()) == []
