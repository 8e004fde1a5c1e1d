"""Positions that name the middle of a patch, as Ptychodus gives them, and those that name index N // 2."""

import numpy as np
import pytest

from ptycho.acquisition.centring import from_middle
from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write_npz
from ptycho.interop.loading import load_data
from ptycho.raw_data import RawData
from ptycho.simulation.simulate import Simulation, simulate


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=32, n_positions=12), np.random.default_rng(3))


@pytest.mark.parametrize(("size", "moved"), [(32, 0.5), (33, 0.0)])
def test_the_middle_of_an_even_patch_lies_between_two_pixels(size, moved):
    x, y = from_middle(np.array([3.0]), np.array([4.25]), size)
    assert (x[0], y[0]) == (3 + moved, 4.25 + moved)


def test_a_scan_in_memory_with_modes_is_moved_by_half_a_pixel_and_one_with_a_flat_probe_is_not(scan):
    y, x = scan.positions.T
    for probe, moved in ((scan.probe, 0.5), (scan.probe[0], 0.0)):
        raw = RawData.from_coords_without_pc(x, y, scan.patterns, probe, np.zeros(len(x), int))
        np.testing.assert_allclose(raw.acquisition().positions, scan.positions + moved)
        offsets = raw.generate_grouped_data(32, nsamples=12, gridsize=1)["coords_offsets"]
        np.testing.assert_allclose(offsets[:, 0, :, 0], scan.positions[:, ::-1] + moved)


def test_what_is_written_here_is_read_unmoved(scan, tmp_path):
    write_npz(tmp_path / "scan.npz", scan)
    np.testing.assert_array_equal(read(tmp_path / "scan.npz").positions, scan.positions)


def exported(scan, path, **changes):
    y, x = scan.positions.T
    arrays = {
        "xcoords": x,
        "ycoords": y,
        "xcoords_start": x,
        "ycoords_start": y,
        "diff3d": scan.patterns,
        "bad_pixels": np.zeros((32, 32), bool),
        "probeGuess": scan.probe,
        "objectGuess": scan.object_,
        "scan_index": np.zeros(len(x), int),
    }
    np.savez(path, **{key: array for key, array in (arrays | changes).items() if array is not None})
    return path


def test_a_file_that_ptychodus_exported_is_moved_once_whatever_is_done_with_it(scan, tmp_path, caplog):
    caplog.set_level("INFO")
    path = exported(scan, tmp_path / "train_data.npz")
    np.testing.assert_allclose(read(path).positions, scan.positions + 0.5)
    assert "0.5 px are added" in caplog.text
    raw = RawData.from_file(path)
    np.testing.assert_allclose(raw.xcoords_start, scan.positions[:, 1] + 0.5)
    raw.to_file(tmp_path / "again.npz")
    np.testing.assert_allclose(read(tmp_path / "again.npz").positions, scan.positions + 0.5)
    turned = load_data(RawData, path, flip_x=True, coord_scale=2).acquisition().positions
    np.testing.assert_allclose(turned, (scan.positions + 0.5) * [2, -2])


@pytest.mark.parametrize("changes", [{"bad_pixels": None}, {"probeGuess": "flat"}, {"patch_index": np.int64(16)}])
def test_any_other_file_is_not(scan, tmp_path, changes):
    changes = {key: scan.probe[0] if isinstance(value, str) else value for key, value in changes.items()}
    path = exported(scan, tmp_path / "scan.npz", **changes)
    np.testing.assert_array_equal(read(path).positions, scan.positions)
