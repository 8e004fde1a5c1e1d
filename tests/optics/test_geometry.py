"""Energy and lengths: what follows from what, and what is no length at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import constants

from ptycho.base.errors import DataError
from ptycho.optics.geometry import Geometry, energy_of, wavelength

ENERGY, DISTANCE, DETECTOR = 8_000.0, 2.0, (75e-6, 50e-6)


@given(energy=st.floats(1.0, 1e6))
def test_wavelength_and_energy(energy):
    assert wavelength(energy) == pytest.approx(constants.h * constants.c / (energy * constants.eV), rel=1e-12)
    assert energy_of(wavelength(energy)) == pytest.approx(energy)


def test_the_object_pixel_is_the_width_of_the_far_field():
    """Two waves that differ by one object pixel over the detector's width differ by one period."""
    pixel = Geometry(ENERGY, DISTANCE, DETECTOR).known(64).object_pixel
    for length, side in zip(pixel, DETECTOR, strict=True):
        assert length * 64 * side / (wavelength(ENERGY) * DISTANCE) == pytest.approx(1)


@pytest.mark.parametrize("lost", ["distance", "detector_pixel", "object_pixel"])
def test_of_distance_and_pixels_one_follows_from_the_others(lost):
    whole = Geometry(ENERGY, DISTANCE, DETECTOR).completed(64)
    stated = {name: getattr(whole, name) for name in ("energy", "distance", "detector_pixel", "object_pixel")}
    found = Geometry(**{**stated, lost: None}).completed(64)
    np.testing.assert_allclose(getattr(found, lost), getattr(whole, lost))


def test_metres_are_those_of_the_motors():
    known = Geometry(ENERGY, DISTANCE, DETECTOR, (1e-8, 2e-8), (1e-6, -1e-6)).known(64)
    np.testing.assert_allclose(known.metres(np.array([[10.0, 20.0]])), [[1.1e-6, -6e-7]])


@pytest.mark.parametrize("missing", ["energy", "distance", "detector_pixel"])
def test_what_is_missing_is_asked_for(missing):
    stated = {"energy": ENERGY, "distance": DISTANCE, "detector_pixel": DETECTOR}
    with pytest.raises(DataError, match=rf"expected {missing} for metres; give .* --{missing} NUMBER$"):
        Geometry(**{**stated, missing: None}).known(64)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["energy", "distance", "detector_pixel", "object_pixel"])
def test_what_is_no_length_is_refused(name, wrong):
    value = (1e-6, wrong) if "pixel" in name else wrong
    with pytest.raises(DataError, match=rf"found {name} = .* above 0"):
        Geometry(**{name: value})
