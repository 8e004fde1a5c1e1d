"""What readers of beamlines' files decide beyond the law of all readers (tests/laws/test_layouts.py)."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from ptycho.acquisition.checks import check
from ptycho.acquisition.readers import read
from ptycho.acquisition.readers.fold_slice import neighbours
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading

SIZE, ROWS, COLUMNS = 16, 2, 3
FRAMES = ROWS * COLUMNS
COUNTS = np.random.default_rng(0).poisson(4, (FRAMES, SIZE, SIZE)).astype(np.uint16)
UP = 1e-7 * np.arange(ROWS)
ACROSS = 3e-7 * np.arange(COLUMNS)
PAIRS = np.stack([each.ravel() for each in np.meshgrid(UP, ACROSS, indexing="ij")], axis=1)  # (y, x), m
GIVEN = Reading(energy=8000, distance=1.0, detector_pixel=50e-6)


def write(path: Path, **arrays: object) -> Path:
    """Write an HDF5 file; two underscores for a slash."""
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key.replace("__", "/")] = array
    return path


def metres(scan):
    return scan.positions * scan.geometry.object_pixel + scan.geometry.origin


def test_axes_of_a_raster_are_positions_of_its_frames(tmp_path):
    frames = COUNTS.reshape(ROWS, COLUMNS, SIZE, SIZE)
    path = write(tmp_path / "a.nxs", entry_1__data__data=frames, entry_1__data__y=UP, entry_1__data__x=ACROSS)
    scan = read(path, reading=GIVEN)
    np.testing.assert_array_equal(scan.patterns, COUNTS)
    np.testing.assert_allclose(metres(scan), PAIRS, atol=1e-15)


def test_positions_that_fit_no_raster_are_refused(tmp_path):
    path = write(tmp_path / "a.nxs", entry_1__data__data=COUNTS, entry_1__data__y=UP, entry_1__data__x=ACROSS)
    with pytest.raises(DataError, match=r"entry_1/data/y and entry_1/data/x of shapes \(2,\) and \(3,\)"):
        read(path, reading=GIVEN)


def test_a_unit_nobody_knows_is_refused(tmp_path):
    y, x = PAIRS.T
    path = write(tmp_path / "a.nxs", entry_1__data__data=COUNTS, entry_1__data__y=y, entry_1__data__x=x)
    with h5py.File(path, "r+") as file:
        file["entry_1/data/x"].attrs["units"] = "steps"
    with pytest.raises(DataError, match="found the unit 'steps' of 'entry_1/data/x', expected one of m, mm, um"):
        read(path, reading=GIVEN)


@pytest.mark.parametrize(
    ("stored", "unit"), [(8000.0, None), (8000.0, "eV"), (8.0, "keV"), (8000 * 1.602176634e-19, None)]
)
def test_the_unit_of_an_energy(tmp_path, stored, unit):
    path = write(tmp_path / "a.h5", entry__data__data=COUNTS, entry__instrument__beam__incident_energy=stored)
    if unit:
        with h5py.File(path, "r+") as file:
            file["entry/instrument/beam/incident_energy"].attrs["units"] = unit
    np.save(tmp_path / "positions.npy", 1e8 * PAIRS)
    assert read(path).geometry.energy == pytest.approx(8000)


def test_pixels_without_a_value_are_bad(tmp_path):
    frames = COUNTS.copy()
    frames[2, 3, 4] = 2**16 - 1
    path = write(tmp_path / "a.h5", entry__data__data=frames)
    np.save(tmp_path / "positions.npy", PAIRS)
    scan = read(path, reading=GIVEN)
    assert np.argwhere(~scan.mask).tolist() == [[3, 4]]
    assert "1 pixels reach the largest number of uint16 and are taken for bad ones" in scan.notes


def slac(path: Path, **more: object) -> Path:
    y, x = PAIRS.T
    frames = np.moveaxis(COUNTS, 0, -1)
    np.savez(path, diffraction=frames, xcoords=x, ycoords=y, probeGuess=np.ones((SIZE, SIZE), complex), **more)
    return path


def test_lengths_that_no_file_states_are_those_of_ptychodus_and_said(tmp_path):
    scan = read(slac(tmp_path / "a.npz", photon_energy_eV=9000.0))
    assert (scan.geometry.energy, scan.geometry.distance, scan.geometry.detector_pixel) == (9000, 0.75, (75e-6, 75e-6))
    assert "no file states distance: 0.75 is assumed, as in Ptychodus; give --distance" in scan.notes
    given = read(tmp_path / "a.npz", reading=Reading(distance=2.0))
    assert given.geometry.distance == 2
    assert not any("--distance" in note for note in given.notes)


def test_frames_on_the_last_axis_stay_there_where_all_axes_are_as_long(tmp_path):
    n = SIZE
    frames = np.random.default_rng(1).poisson(9, (n, n, n)).astype(np.uint16)
    y, x = np.arange(2 * n).reshape(2, n) * 1e-8
    path = tmp_path / "a.npz"
    np.savez(path, diffraction=frames, xcoords_start=x, ycoords_start=y, probeGuess=np.ones((n, n), complex))
    np.testing.assert_array_equal(read(path).patterns, np.moveaxis(frames, -1, 0))


def ptyd(path: Path, **replaced: object) -> Path:
    chunk = {"data": COUNTS, "indices": np.arange(FRAMES), "positions": PAIRS, "weights": np.ones(COUNTS.shape)}
    return write(path, **{f"chunks__0__{key}": array for key, array in (chunk | replaced).items() if array is not None})


def test_weights_of_single_frames_count_for_all_and_are_said(tmp_path):
    weights = np.ones(COUNTS.shape)
    weights[4, 2, 1] = 0
    scan = read(ptyd(tmp_path / "a.ptyd", weights=weights), reading=GIVEN)
    assert np.argwhere(~scan.mask).tolist() == [[2, 1]]
    assert any("weights differ from frame to frame" in note for note in scan.notes)


def test_positions_that_a_file_lacks_come_from_another(tmp_path):
    path = ptyd(tmp_path / "a.ptyd", positions=None)
    with pytest.raises(DataError, match=r"found patterns and no positions, expected both; give .* --companions FILE"):
        read(path, reading=GIVEN)
    np.save(tmp_path / "motors.npy", PAIRS)
    scan = read(path, reading=replace(GIVEN, companions=(tmp_path / "motors.npy",)))
    np.testing.assert_allclose(metres(scan), PAIRS, atol=1e-15)
    assert "positions taken from motors.npy" in scan.notes


def test_the_two_files_of_fold_slice_find_each_other():
    assert neighbours(Path("a/b_dp.hdf5")) == (Path("a/b_para.hdf5"),)
    assert neighbours(Path("a/b_para.hdf5")) == (Path("a/b_dp.hdf5"),)
    assert neighbours(Path("a/b.hdf5")) == ()


def test_a_reconstruction_of_fold_slice_with_layers(tmp_path):
    write(tmp_path / "a_dp.hdf5", dp=COUNTS)
    content = {
        "probe": np.ones((SIZE, SIZE, 2, 3), complex),
        "object": np.ones((30, 40, 5), complex),
        "outputs": {"probe_positions": PAIRS[:, ::-1] * 1e8},
        "p": {"lambda": 1e-10, "dx_spec": np.array([2e-9, 3e-9])},
    }
    savemat(tmp_path / "found.mat", content)
    scan = read(tmp_path / "a_dp.hdf5", reading=Reading(companions=(tmp_path / "found.mat",)))
    assert scan.geometry.object_pixel == (3e-9, 2e-9)
    assert scan.probe.shape == (2, SIZE, SIZE)
    assert scan.object_ is None
    assert "the object of shape (30, 40, 5) is left out: it has layers" in scan.notes


@pytest.mark.parametrize(("given", "expected"), [("auto", 1e-7), ("px", None)])
def test_the_unit_of_loose_positions(tmp_path, given, expected):
    np.save(tmp_path / "patterns.npy", COUNTS)
    np.save(tmp_path / "positions.npy", PAIRS)
    scan = read(tmp_path / "patterns.npy", reading=replace(GIVEN, units=given))
    step = scan.positions[COLUMNS, 0] - scan.positions[0, 0]
    assert step == pytest.approx(1e-7 if expected is None else expected / scan.geometry.object_pixel[0])


@pytest.mark.parametrize(("reach", "unit"), [(0.099, "m"), (0.101, "px")])
def test_a_scan_is_wider_than_a_tenth_of_a_pixel(tmp_path, reach, unit):
    np.save(tmp_path / "patterns.npy", COUNTS)
    np.save(tmp_path / "positions.npy", PAIRS * reach / np.ptp(PAIRS, axis=0).max())
    scan = read(tmp_path / "patterns.npy", reading=GIVEN)
    found = (np.ptp(scan.positions, axis=0) * (scan.geometry.object_pixel if unit == "m" else 1)).max()
    assert found == pytest.approx(reach)


def test_rows_and_columns_may_have_names(tmp_path):
    y, x = 1e8 * PAIRS.T
    np.savez(tmp_path / "a.npz", intensities=COUNTS, y=y, x=x, probe=np.ones((SIZE, SIZE), complex))
    np.testing.assert_allclose(read(tmp_path / "a.npz").positions, 1e8 * PAIRS)


@pytest.mark.parametrize("text", ["", "# y,x\n", "\n \n"])
def test_a_table_without_numbers_is_refused(tmp_path, text):
    np.save(tmp_path / "patterns.npy", COUNTS)
    (tmp_path / "positions.csv").write_text(text)
    with pytest.raises(DataError, match=r"positions.csv: (is no table .* .no number in it|found an empty file)"):
        read(tmp_path / "patterns.npy")


def test_a_table_with_words_is_refused(tmp_path):
    np.save(tmp_path / "patterns.npy", COUNTS)
    (tmp_path / "positions.csv").write_text("y,x\n1,2\n")
    with pytest.raises(DataError, match=r"positions.csv: is no table of numbers .* # before what is none"):
        read(tmp_path / "patterns.npy")


@pytest.mark.parametrize(("scale", "unit"), [(1, "metres"), (1e7, "pixels")])
def test_a_unit_that_was_guessed_is_told(tmp_path, scale, unit):
    np.save(tmp_path / "patterns.npy", COUNTS)
    np.save(tmp_path / "positions.npy", scale * PAIRS)
    told = [note for note in read(tmp_path / "patterns.npy", reading=GIVEN).notes if "state no unit" in note]
    assert len(told) == 1
    assert f"reach {scale * 6e-7:.3g} " in told[0]
    assert f"taken for {unit}" in told[0]
    given = read(tmp_path / "patterns.npy", reading=replace(GIVEN, units="m" if unit == "metres" else "px"))
    assert not [note for note in given.notes if "state no unit" in note]


def test_a_probe_alone_is_called_one(tmp_path):
    np.save(tmp_path / "probe.npy", np.ones((SIZE, SIZE), complex))
    with pytest.raises(DataError, match="found the probe and no patterns and no positions, expected both"):
        read(tmp_path / "probe.npy")


def test_turns_are_told(tmp_path):
    np.save(tmp_path / "patterns.npy", COUNTS)
    np.save(tmp_path / "positions.npy", PAIRS)
    turned = read(tmp_path / "patterns.npy", reading=replace(GIVEN, transpose=True, flip_x=True))
    assert "patterns, mask and probe turned: flip_x, transpose" in turned.notes


@pytest.mark.parametrize(("energy", "what"), [(0.8, "positions within"), (8e6, "positions spread over")])
def test_lengths_that_can_not_be_are_what_a_refusal_names(tmp_path, energy, what):
    np.save(tmp_path / "patterns.npy", COUNTS)
    np.save(tmp_path / "positions.npy", 100 * PAIRS)
    scan = read(tmp_path / "patterns.npy", reading=replace(GIVEN, energy=energy, units="m"))
    said = [str(finding) for finding in check(scan) if finding.level == "refuse"]
    assert [what in line and "check energy, distance, detector pixel" in line for line in said] == [True]
