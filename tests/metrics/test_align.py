import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.base.errors import DataError
from ptycho.metrics.align import align
from ptycho.metrics.fourier import fourier_shift, slopes

few = settings(max_examples=20, deadline=None)
SIDE, RIM = 72, 12
MASK = np.zeros((SIDE, SIDE), bool)
MASK[RIM:-RIM, RIM + 4 : -RIM] = True
MASK[:30, :30] = False
Y, X = np.indices((SIDE, SIDE)) - SIDE // 2


def periodic_shift(image, shift):
    """An exact shift of a periodic image, by a way of its own: a sum of plane waves moved one axis at a time."""
    for axis, s in enumerate(shift):
        n = image.shape[axis]
        waves = np.fft.fftfreq(n, 1 / n)
        moved = np.exp(2j * np.pi * np.outer(np.arange(n) - s, waves) / n) / n
        image = np.moveaxis(
            np.tensordot(moved @ np.exp(-2j * np.pi * np.outer(waves, np.arange(n)) / n), image, (1, axis)), 0, axis
        )
    return image


@few
@given(
    seed=st.integers(0, 999),
    scale=st.floats(0.1, 10),
    phase=st.floats(-np.pi, np.pi),
    ramp=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    shift=st.tuples(st.floats(-1.8, 1.8), st.floats(-1.8, 1.8)),
)
def test_known_ambiguities_are_undone(smooth_object, seed, scale, phase, ramp, shift):
    whole = smooth_object(seed, 2 * SIDE)
    cut = slice(SIDE // 2, SIDE // 2 + SIDE)
    reference, moved = whole[cut, cut], periodic_shift(whole, shift)[cut, cut]
    image = scale * np.exp(1j * (phase + ramp[0] * Y + ramp[1] * X)) * moved
    found = align(image, reference, MASK)
    assert found.scale == pytest.approx(scale, rel=1e-3)
    np.testing.assert_allclose(found.phase_ramp, ramp, atol=1e-4)
    np.testing.assert_allclose(found.shift, shift, atol=0.01)
    assert abs(np.angle(np.exp(1j * (found.global_phase - phase)))) < 0.01
    error = np.linalg.norm((found.image - reference)[MASK]) / np.linalg.norm(reference[MASK])
    assert error < 5e-3


@few
@given(seed=st.integers(0, 999), scale=st.floats(1e-3, 1e3), phase=st.floats(-np.pi, np.pi), only_phase=st.booleans())
def test_the_factor_is_exact(smooth_object, seed, scale, phase, only_phase):
    reference = smooth_object(seed, SIDE)
    found = align(
        scale * np.exp(1j * phase) * reference, reference, MASK, shift=False, ramp=False, scale=not only_phase
    )
    assert found.scale == pytest.approx(1.0 if only_phase else scale, rel=1e-9)
    assert abs(np.angle(np.exp(1j * (found.global_phase - phase)))) < 1e-7
    np.testing.assert_allclose(found.image, (scale if only_phase else 1.0) * reference, rtol=1e-7)


@few
@given(seed=st.integers(0, 999), noise=st.floats(0, 3), kind=st.sampled_from(["noise", "flat", "other"]))
def test_the_error_never_grows(smooth_object, seed, noise, kind):
    rng = np.random.default_rng(seed)
    reference = smooth_object(seed, SIDE)
    image = {"noise": reference, "flat": np.ones_like(reference), "other": smooth_object(seed, SIDE, 1)}[kind]
    image = image + noise * (rng.normal(size=image.shape) + 1j * rng.normal(size=image.shape))
    before = align(image, reference, MASK, shift=False, ramp=False)
    after = align(image, reference, MASK)
    misfit = [np.linalg.norm((fit.image - reference)[MASK]) for fit in (before, after)]
    assert misfit[1] <= misfit[0] * (1 + 1e-9)
    assert np.abs(after.shift).max() <= 2


def test_a_flat_image_is_not_moved(smooth_object):
    found = align(np.ones((SIDE, SIDE), complex), smooth_object(1, SIDE), MASK, ramp=False)
    assert not found.shift.any()


def test_the_parameters_rebuild_the_image(smooth_object):
    rng = np.random.default_rng(3)
    reference = smooth_object(3, SIDE)
    image = 2 * reference * np.exp(1j * (0.4 + 0.02 * Y)) + 0.01 * rng.normal(size=reference.shape)
    found = align(image, reference, MASK, shift=False)
    wave = found.scale * np.exp(1j * (found.global_phase + found.phase_ramp[0] * Y + found.phase_ramp[1] * X))
    np.testing.assert_allclose(wave * found.image, image, rtol=1e-6)


@few
@given(seed=st.integers(0, 99), dy=st.integers(-3, 3), dx=st.integers(-3, 3))
def test_a_whole_pixel_shift_is_a_roll_inside(smooth_object, seed, dy, dx):
    image = smooth_object(seed, SIDE)
    moved = fourier_shift(image, np.array([float(dy), float(dx)]))
    np.testing.assert_allclose(moved[4:-4, 4:-4], np.roll(image, (dy, dx), (0, 1))[4:-4, 4:-4], atol=1e-9)


def test_slopes_are_the_limit_of_small_shifts(smooth_object):
    image, h = smooth_object(0, SIDE), 1e-4
    for axis, slope in enumerate(slopes(image)):
        step = h * np.eye(2)[axis]
        difference = (fourier_shift(image, -step) - fourier_shift(image, step)) / (2 * h)
        np.testing.assert_allclose(slope[1:-1, 1:-1], difference[1:-1, 1:-1], atol=2e-6)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.ones((5, 6), complex), np.ones((5, 5), bool), "one shape"),
        (np.ones((5, 5), complex), np.zeros((5, 5), bool), "mask is empty"),
        (np.zeros((5, 5), complex), np.ones((5, 5), bool), "image is zero"),
        (np.full((5, 5), np.nan + 0j), np.ones((5, 5), bool), "not finite"),
    ],
)
def test_what_cannot_be_aligned_is_refused(image, mask, message):
    with pytest.raises(DataError, match=message):
        align(image, np.ones((5, 5), complex), mask)
