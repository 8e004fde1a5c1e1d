"""Positions that name the middle of a patch, as Ptychodus gives them, and those that name index N // 2."""

import numpy as np
import pytest

from ptycho.acquisition.centring import from_middle, names_the_middle
from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write_npz
from ptycho.optics.intensity import CountRule
from ptycho.raw_data import RawData
from ptycho.simulation.simulate import Simulation, simulate


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=32, n_positions=12), np.random.default_rng(3))


@pytest.mark.parametrize(("size", "moved"), [(32, 0.5), (33, 0.0)])
def test_the_middle_of_an_even_patch_lies_between_two_pixels(size, moved):
    np.testing.assert_array_equal(from_middle(np.array([[3.0, 4.25]]), size), [[3 + moved, 4.25 + moved]])


def test_only_modes_without_a_statement_of_the_counts_come_with_the_middle():
    counts = CountRule("counts", 1.0, "stated")
    assert names_the_middle(np.ones((1, 8, 8)), None)
    assert not names_the_middle(np.ones((1, 8, 8)), counts)
    assert not names_the_middle(np.ones((8, 8)), None)
    assert not names_the_middle(np.ones((8, 8, 1)), None)


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


def test_a_file_that_ptychodus_exported_is_moved(scan, tmp_path):
    y, x = scan.positions.T
    np.savez(
        tmp_path / "train_data.npz",
        xcoords=x,
        ycoords=y,
        xcoords_start=x,
        ycoords_start=y,
        diff3d=scan.patterns,
        bad_pixels=np.zeros((32, 32), bool),
        probeGuess=scan.probe,
        objectGuess=scan.object_,
        scan_index=np.zeros(len(x), int),
    )
    np.testing.assert_allclose(read(tmp_path / "train_data.npz").positions, scan.positions + 0.5)
