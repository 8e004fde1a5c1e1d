"""Modes, support and size of a probe."""

import numpy as np
import pytest

from ptycho.base.errors import DataError
from ptycho.optics.probe import normalised_probe, probe_diameter, probe_modes, support_mask


def disk(size, radius, height=1.0):
    axis = np.arange(size) - (size - 1) / 2
    return height * (np.hypot(axis[:, None], axis[None, :]) < radius).astype(np.complex64)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (1, 8, 8)])
def test_one_mode_in_any_layout(shape):
    values = np.arange(64).reshape(8, 8) + 1j
    modes = probe_modes(values.reshape(shape))
    assert modes.dtype == np.complex64
    np.testing.assert_array_equal(modes, values[None].astype(np.complex64))


def test_several_modes_and_a_scale():
    values = np.arange(3 * 64).reshape(3, 8, 8) * 1j
    np.testing.assert_array_equal(probe_modes(values, 2.0), (2 * values).astype(np.complex64))


@pytest.mark.parametrize(
    "probe", [np.ones(8), np.ones((8, 9)), np.ones((0, 8, 8)), np.full((8, 8), np.nan), np.full((8, 8), "a")]
)
def test_what_is_no_probe_is_refused_in_one_line(probe):
    with pytest.raises(DataError) as refusal:
        probe_modes(probe)
    assert "found" in str(refusal.value)
    assert "expected" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("radius", [6.0, 10.0, 15.0])
@pytest.mark.parametrize("height", [0.1, 7.0])
def test_the_diameter_of_a_disk_is_its_own(radius, height):
    for dy, dx in ((0, 0), (-8, 5)):
        moved = np.roll(disk(64, radius, height), (dy, dx), (0, 1))
        assert probe_diameter(moved[None]) == pytest.approx(2 * radius, rel=0.02)


def test_the_diameter_of_a_gaussian():
    axis = np.arange(128) - 64
    amplitude = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (4 * 8.0**2)).astype(np.complex64)
    # The intensity has standard deviation 8 px.
    assert probe_diameter(amplitude[None]) == pytest.approx(4 * 8.0, rel=1e-4)
    assert probe_diameter(np.zeros((1, 8, 8), np.complex64)) == 0


def test_the_normalised_probe_has_a_known_mean_and_no_scale():
    probe = disk(32, 20) * np.complex64(3j)
    normalised = normalised_probe(probe[None], 4.0)
    assert np.abs(normalised * support_mask(32)).mean() == pytest.approx(1 / 4)
    np.testing.assert_allclose(normalised_probe(1000 * probe[None], 4.0), normalised, rtol=1e-6)
    with pytest.raises(DataError, match="zero inside"):
        normalised_probe(np.zeros((1, 32, 32), np.complex64), 4.0)
