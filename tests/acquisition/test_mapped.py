"""Patterns that are mapped are those of the file, in bounded memory, and are unpacked again when the file changes."""

import shutil
import tracemalloc

import numpy as np
import pytest

from ptycho.acquisition.readers import read
from ptycho.acquisition.readers.mapped import mapped_arrays
from ptycho.base.blocks import BLOCK
from ptycho.base.errors import DataError, OutputError
from ptycho.base.mapped import is_mapped, map_of

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
@pytest.mark.parametrize("block", [2, 3 * N * N * 2, BLOCK])
def test_every_layout_is_mapped(tmp_path, frames, monkeypatch, save, layout, block):
    for module in ("base.blocks", "acquisition.readers.archive"):
        monkeypatch.setattr(f"ptycho.{module}.BLOCK", block)
    save(tmp_path / "scan.npz", **scan(LAYOUTS[layout](frames)))
    found = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").patterns
    assert is_mapped(found)
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, frames)


@pytest.mark.parametrize("layout", ["frames first", "singleton", "Fortran, frames last"])
def test_what_lies_ready_is_not_copied(tmp_path, frames, layout):
    np.savez(tmp_path / "scan.npz", **scan(LAYOUTS[layout](frames)))
    found = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").patterns
    assert map_of(found).name == str(tmp_path / "scan.npz")
    assert not (tmp_path / "maps").exists()


def test_the_scan_is_the_same_as_in_memory(tmp_path, frames):
    extra = {"bad_pixels": np.eye(N, dtype=bool), "objectGuess": np.ones((50, 50), np.complex64), "nphotons": 7.0}
    np.savez_compressed(tmp_path / "scan.npz", **scan(frames.astype(np.float32)), **extra)
    mapped, whole = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").acquisition(), read(tmp_path / "scan.npz")
    for name in ("patterns", "positions", "probe", "mask", "object_"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(whole, name))
    assert (mapped.quantity, mapped.count_scale) == (whole.quantity, whole.count_scale)


def test_memory_stays_bounded(tmp_path, monkeypatch):
    block = 2**22
    for module in ("base.blocks", "acquisition.readers.archive"):
        monkeypatch.setattr(f"ptycho.{module}.BLOCK", block)
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
        assert frames.nbytes > 10 * block
        assert peak < 4 * block
        np.testing.assert_array_equal(found[::100], frames[::100])


@pytest.mark.parametrize("layout", ["frames first", "frames last"])
def test_a_map_leaves_no_file_behind(tmp_path, frames, layout):
    np.savez_compressed(tmp_path / "scan.npz", **scan(LAYOUTS[layout](frames)))
    found = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").patterns
    np.testing.assert_array_equal(found, frames)
    assert list((tmp_path / "maps").iterdir()) == []


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_pattern_lies_in_one_piece(tmp_path, frames, save):
    save(tmp_path / "scan.npz", **scan(LAYOUTS["frames last"](frames)))
    found = mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps").patterns
    assert found.strides[0] == frames[0].nbytes


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
    with pytest.raises(OutputError, match=rf"^{tmp_path / 'maps'} has 9.31e-08 GiB free; expected [^;]*;[^;]*$"):
        mapped_arrays(tmp_path / "scan.npz", tmp_path / "maps")
    assert list((tmp_path / "maps").iterdir()) == []
