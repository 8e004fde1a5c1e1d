"""The forward model in NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.optics.propagate import expected_counts, far_field
from ptycho.optics.shift import fourier_shift


def field(seed, shape, dtype=np.complex128):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def test_far_field_is_the_sum_over_the_sample():
    psi = field(0, (6, 8))
    rows, columns = np.arange(6), np.arange(8)
    kernel_y = np.exp(-2j * np.pi * np.outer(rows - 3, rows) / 6)
    kernel_x = np.exp(-2j * np.pi * np.outer(columns, columns - 4) / 8)
    np.testing.assert_allclose(far_field(psi), kernel_y @ psi @ kernel_x / np.sqrt(48), atol=1e-12)


@given(st.integers(0, 99), st.integers(2, 12))
def test_far_field_is_unitary(seed, size):
    a, b = field(seed, (2, size, size))
    assert np.vdot(far_field(a), far_field(b)) == pytest.approx(np.vdot(a, b), abs=1e-9)


def test_a_flat_field_lands_on_the_middle_and_precision_is_kept():
    wave = far_field(np.ones((3, 8, 8), np.complex64))
    assert wave.dtype == np.complex64
    assert np.argwhere(np.abs(wave[1]) > 1e-6).tolist() == [[4, 4]]


def test_modes_add_incoherently_and_counts_are_conserved():
    probe, patches = field(1, (3, 8, 8)), field(2, (5, 8, 8))
    counts = expected_counts(probe, patches)
    one_by_one = sum(np.abs(far_field(mode * patches)) ** 2 for mode in probe)
    np.testing.assert_allclose(counts, one_by_one)
    light = (np.abs(probe) ** 2).sum(axis=0)
    np.testing.assert_allclose(counts.sum(axis=(1, 2)), (light * np.abs(patches) ** 2).sum(axis=(1, 2)))


def test_a_probe_for_every_patch():
    probe, patches = field(1, (5, 2, 8, 8)), field(2, (5, 8, 8))
    each = [expected_counts(p, o[None])[0] for p, o in zip(probe, patches, strict=True)]
    np.testing.assert_allclose(expected_counts(probe, patches), each)


offsets = st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(np.array)


@given(st.integers(0, 99), offsets)
def test_fourier_shift_is_unitary_and_undone_by_its_opposite(seed, shift):
    psi = field(seed, (8, 10))
    moved = fourier_shift(psi, shift)
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(psi))
    np.testing.assert_allclose(fourier_shift(moved, -shift), psi, atol=1e-12)


def test_fourier_shift_moves_content_forward():
    psi = field(3, (2, 8, 10))
    moved = fourier_shift(psi, np.array([[2.0, -1.0], [0.0, 3.0]]))
    np.testing.assert_allclose(moved[0], np.roll(psi[0], (2, -1), axis=(0, 1)), atol=1e-12)
    np.testing.assert_allclose(moved[1], np.roll(psi[1], (0, 3), axis=(0, 1)), atol=1e-12)


def test_fourier_shift_of_a_wave_between_pixels_is_exact():
    y, x = np.mgrid[:16, :16]

    def wave(dy, dx):
        return np.exp(2j * np.pi * (2 * (y - dy) - 5 * (x - dx)) / 16)

    np.testing.assert_allclose(fourier_shift(wave(0, 0), np.array([0.3, 0.7])), wave(0.3, 0.7), atol=1e-12)
