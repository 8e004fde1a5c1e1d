"""The CXI reader on a measured file, and on what files of the format may hold."""

import h5py
import numpy as np
import pytest
from tests.laws.layouts import cxi, in_cxi, known_scan

from ptycho.acquisition.readers import read
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading


@pytest.fixture(scope="module")
def measured(shared_data):
    return shared_data / "cxi_near_field" / "PETRAIII_P25_Near_Field_Ptycho.cxi"


def test_a_measured_file(measured, caplog):
    """Counts, mask, energy, distance and the extent of the scan are what the file says."""
    scan = read(measured)
    with h5py.File(measured) as file:
        detector = file["entry_1/instrument_1/detector_1"]
        np.testing.assert_array_equal(scan.patterns, detector["data"])
        assert scan.patterns.dtype == detector["data"].dtype
        np.testing.assert_array_equal(scan.mask, (detector["mask"][()] & ~np.uint32(0x1000)) == 0)
        translation = file["entry_1/sample_1/geometry_1/translation"][()].astype(float)
        energy = float(file["entry_1/instrument_1/source_1/energy"][()])
        wavelength = float(file["entry_1/instrument_1/source_1/wavelength"][()])
        distance, pixel = float(detector["distance"][()]), float(detector["x_pixel_size"][()])
    assert scan.geometry.energy == pytest.approx(energy / 1.602176634e-19)
    assert scan.geometry.energy == pytest.approx(12_398.419843e-10 / wavelength, rel=1e-4)
    assert scan.geometry.distance == distance
    assert scan.geometry.detector_pixel == (pixel, pixel)
    found = scan.geometry.known(scan.size).metres(scan.positions)
    np.testing.assert_allclose(found, translation[:, [1, 0]], rtol=0, atol=1e-12)
    assert "no file brings a probe" in caplog.text
    assert any("basis_vectors" in note for note in scan.notes)


def test_the_probe_that_moves_has_the_other_sign(measured):
    there, back = (read(measured, reading=Reading(translation=whose)).positions for whose in ("sample", "probe"))
    np.testing.assert_allclose(there - there[0], back[0] - back, atol=1e-9)


def rewritten(tmp_path, change):
    with h5py.File(in_cxi(tmp_path, known_scan()).path, "r+") as file:
        change(file)
    return tmp_path / "scan.cxi"


def replaced(key, value):
    def change(file):
        del file[key]
        if value is not None:
            file[key] = value

    return change


ENERGY = "entry_1/instrument_1/source_1/energy"
DETECTOR = "entry_1/instrument_1/detector_1"


def test_energy_in_electron_volt_and_wavelength_alone(tmp_path):
    found = read(rewritten(tmp_path, replaced(ENERGY, 8_800.0)))
    assert found.geometry.energy == 8_800.0

    def wavelength(file):
        del file[ENERGY]
        file["entry_1/instrument_1/source_1/wavelength"] = 1e-10

    found = read(rewritten(tmp_path, wavelength))
    assert found.geometry.energy == pytest.approx(12_398.42, rel=1e-6)


def test_a_mask_for_every_frame_and_values_of_bad_pixels(tmp_path):
    known = known_scan()
    frames = known.patterns.astype(np.int32)
    frames[:, ~known.mask] = -1
    mask = np.zeros(frames.shape, np.uint32)
    mask[7, ~known.mask] = 1

    def change(file):
        for key, value in (("data", frames), ("mask", mask)):
            replaced(f"{DETECTOR}/{key}", value)(file)

    found = read(rewritten(tmp_path, change))
    np.testing.assert_array_equal(found.mask, known.mask)
    np.testing.assert_array_equal(found.patterns, known.patterns)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replaced(f"{DETECTOR}/distance", None), "ptycho convert SCAN SCAN.npz --distance NUMBER"),
        (replaced(f"{DETECTOR}/distance", -1.0), "found .*distance = -1"),
        (replaced("entry_1/sample_1/geometry_1/translation", None), "found patterns and no positions"),
        (replaced("entry_1/sample_1/geometry_1/translation", np.ones((40, 4))), "translation of shape"),
        (lambda file: file.__setitem__(f"{DETECTOR}/basis_vectors", np.zeros((3, 2))), "basis_vectors"),
        (replaced(f"{DETECTOR}/mask", np.ones((32, 32))), "a mask of type float64"),
    ],
    ids=["no distance", "distance", "no positions", "four axes", "axes", "mask"],
)
def test_what_can_not_be_used_is_said(tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        read(rewritten(tmp_path, change))


def test_what_the_user_says_of_lengths_wins(tmp_path):
    reading = Reading(energy=9_000.0, distance=2.0, detector_pixel=5e-5)
    geometry = read(in_cxi(tmp_path, known_scan()).path, reading=reading).geometry
    assert (geometry.energy, geometry.distance, geometry.detector_pixel) == (9_000.0, 2.0, (5e-5, 5e-5))


def test_a_file_without_a_probe_gets_one_from_its_mean_pattern(tmp_path):
    known = known_scan()
    with h5py.File(tmp_path / "scan.cxi", "w") as file:
        cxi(file, known, known.metres[:, ::-1])
        file[f"{DETECTOR}/x_pixel_size"] = 75e-6
    found = read(tmp_path / "scan.cxi")
    mean = known.patterns.mean(axis=0)
    far = np.fft.fftshift(np.abs(np.fft.fft2(found.probe[0], norm="ortho")) ** 2)
    np.testing.assert_allclose(far, mean, rtol=1e-3, atol=1e-3 * mean.max())
    row, column = np.unravel_index(np.abs(found.probe[0]).argmax(), (32, 32))
    assert (row, column) == (16, 16)
