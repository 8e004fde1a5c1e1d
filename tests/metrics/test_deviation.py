"""Deviations of pixels from two halves whose random and systematic errors are known."""

import numpy as np
import pytest

from ptycho.metrics.deviation import UNKNOWN, Best, Examined, deviations

SHAPE = (96, 96)
# +1 and -1 in turn: neither a factor nor a ramp, which are not judged.
STRIPES = np.where(np.arange(SHAPE[1]) // 12 % 2, 1.0, -1.0) * np.ones(SHAPE)
RANDOM, NOISE = 0.02, 0.05  # standard deviation of each part of the whole's random error, and of what the counts add


def fields(rng, n, sigma):
    return sigma * (rng.normal(size=(n, *SHAPE)) + 1j * rng.normal(size=(n, *SHAPE)))


def found_with(bias, gain=1.0, size=1.0, light=(1.0, 1.0), seed=0, away=0j):
    """Deviations where the best object has a systematic error, and everything passed a filter of some gain."""
    rng = np.random.default_rng(seed)
    halves = [(sum(light) / each) ** 0.5 * fields(rng, 1, RANDOM)[0] for each in light]
    difference = halves[0] - halves[1]
    examined = [
        Examined(*(gain * part for part in (bias + half + fields(rng, 1, NOISE)[0], fields(rng, 1, NOISE)[0], apart)))
        for half, apart in zip(halves, (difference, -difference), strict=True)
    ]
    mask = np.ones(SHAPE, dtype=bool)
    mask[:4] = False
    return deviations(
        difference,
        mask,
        np.full(SHAPE, light[0] * light[1] / sum(light) ** 2),
        Best(away * np.ones(SHAPE), difference, examined),
        np.full(SHAPE, size, dtype=np.complex64),
    )


def rms(deviation):
    return float(np.sqrt(np.nanmean(deviation**2)))


@pytest.mark.parametrize(("gain", "light"), [(1.0, (1.0, 1.0)), (0.3, (1.0, 1.0)), (1.0, (1.0, 4.0))])
def test_random_and_systematic_errors_both_count(gain, light):
    bias = (0.06 + 0.03j) * STRIPES
    amplitude, phase = found_with(bias, gain, light=light)
    assert np.isnan(amplitude[:4]).all()
    assert np.isnan(phase[:4]).all()
    assert rms(amplitude) == pytest.approx(np.hypot(RANDOM, 0.06), rel=0.1)
    assert rms(phase) == pytest.approx(np.hypot(RANDOM, 0.03), rel=0.1)


def test_what_the_best_object_mends_counts_too():
    amplitude, phase = found_with((0.06 + 0.03j) * STRIPES, away=(0.04 + 0.08j) * STRIPES)
    assert rms(amplitude) == pytest.approx((RANDOM**2 + 0.06**2 + 0.04**2) ** 0.5, rel=0.1)
    assert rms(phase) == pytest.approx((RANDOM**2 + 0.03**2 + 0.08**2) ** 0.5, rel=0.1)


def test_without_systematic_errors_the_halves_decide():
    amplitude, phase = found_with(np.zeros(SHAPE))
    # What the counts find is never below nothing, so that its own noise only ever widens.
    for deviation in (amplitude, phase):
        assert RANDOM < rms(deviation) < 1.35 * RANDOM


def test_an_object_that_the_counts_find_nothing_wrong_with_is_as_uncertain_as_its_halves_differ():
    rng = np.random.default_rng(0)
    difference, nothing = fields(rng, 1, 2 * RANDOM)[0], np.zeros(SHAPE, complex)
    mask = np.ones(SHAPE, dtype=bool)
    examined = [Examined(nothing, nothing, difference)] * 2
    best = Best(np.zeros(SHAPE, complex), difference, examined)
    for deviation in deviations(difference, mask, np.full(SHAPE, 0.25), best, np.ones(SHAPE, np.complex64)):
        assert rms(deviation) == pytest.approx(RANDOM, rel=0.05)


def test_two_in_three_are_smaller_also_where_a_few_are_much_larger():
    rng = np.random.default_rng(0)
    halves = fields(rng, 2, 2**0.5 * RANDOM) * np.where(rng.random(SHAPE) < 0.1, 6, 1)
    nothing, mask = np.zeros(SHAPE, complex), np.ones(SHAPE, dtype=bool)
    best = Best(nothing, halves[0] - halves[1], [Examined(nothing, nothing, halves[0] - halves[1])] * 2)
    found = deviations(halves[0] - halves[1], mask, np.full(SHAPE, 0.25), best, np.ones(SHAPE, np.complex64))
    error = halves.mean(axis=0)
    for part, deviation in zip((error.real, error.imag), found, strict=True):
        # Of normal errors it is 0.68; with the root mean square it would be 0.9 here.
        assert 0.65 < np.mean(np.abs(part) < deviation) < 0.87


def test_a_systematic_error_shows_where_it_is():
    bias = np.zeros(SHAPE, dtype=complex)
    bias[60:, 60:] = 0.2 * STRIPES[60:, 60:]
    amplitude, phase = found_with(bias)
    assert rms(amplitude[70:, 70:]) > 5 * rms(amplitude[10:40, 10:40])
    assert rms(phase[70:, 70:]) < 2 * rms(phase[10:40, 10:40])


def test_a_darker_object_has_a_less_certain_phase():
    bright, dark = (found_with(np.zeros(SHAPE), size=size)[1] for size in (1.0, 0.25))
    np.testing.assert_allclose(dark, 4 * bright)
    for size in (1e-6, 0.0):
        black = found_with(np.zeros(SHAPE), size=size)[1]
        assert np.nanmin(black) == np.nanmax(black) == UNKNOWN


def test_a_factor_and_a_ramp_are_not_judged():
    y, x = np.indices(SHAPE)
    ambiguous = 0.3 + 0.2j + 0.01j * y - 0.004j * x
    for one, other in zip(found_with(ambiguous), found_with(np.zeros(SHAPE)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
