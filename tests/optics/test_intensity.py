"""What patterns hold is decided by the patterns."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import DataError
from ptycho.optics.intensity import count_rule, frame_counts, frame_energy, normalisation, quantity

MASK = np.ones((16, 16), bool)


def counts(seed=0, mean=5.0, frames=20):
    return np.random.default_rng(seed).poisson(mean, (frames, 16, 16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_whole_numbers_are_counts(dtype):
    rule = count_rule(counts().astype(dtype), MASK, None, None)
    assert (rule.quantity, rule.count_scale) == ("counts", 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [0.1, 5.0, 1000.0])
def test_roots_of_counts_have_scale_one(dtype, mean):
    rule = count_rule(np.sqrt(counts(mean=mean)).astype(dtype), MASK, None, None)
    assert (rule.quantity, rule.count_scale) == ("amplitude", 1.0)


@given(st.integers(0, 99), st.floats(1e-3, 1e3))
def test_the_scale_of_quantised_amplitudes_is_found_without_a_label(seed, scale):
    patterns = (np.sqrt(counts(seed)) / scale).astype(np.float32)
    rule = count_rule(patterns, MASK, None, None)
    assert rule.quantity == "amplitude"
    assert rule.count_scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(frame_counts(patterns, MASK, rule), counts(seed).sum(axis=(1, 2)), rtol=1e-5)


def smooth():
    return np.random.default_rng(1).gamma(2.0, size=(20, 16, 16)).astype(np.float32)


def test_other_amplitudes_take_the_label_then_what_is_given_then_an_assumption(caplog):
    patterns = smooth()
    energy = (patterns.astype(float) ** 2).sum(axis=(1, 2)).mean()
    for labelled, given_, expected in ((1e6, 1e3, 1e6), (None, 1e3, 1e3)):
        rule = count_rule(patterns, MASK, labelled, given_)
        assert rule.quantity == "amplitude"
        assert rule.count_scale**2 * energy == pytest.approx(expected)
    assert not caplog.records
    assert count_rule(patterns, MASK, None, None).count_scale ** 2 * energy == pytest.approx(1e9)
    assert "assumed" in caplog.text


def test_a_label_that_disagrees_with_the_counts_is_reported_and_not_used(caplog):
    for patterns in (counts(), np.sqrt(counts()).astype(np.float32)):
        caplog.clear()
        true = float(counts().sum(axis=(1, 2)).mean())
        assert count_rule(patterns, MASK, true * 1.04, None).count_scale == 1
        assert not caplog.records
        assert count_rule(patterns, MASK, true * 1.06, None).count_scale == 1
        assert "label in a file disagreeing with the counts in it" in caplog.text
        assert caplog.records[0].levelno == logging.WARNING


def test_counts_divided_by_a_number_are_not_taken_for_quantised_amplitudes(caplog):
    rule = count_rule((counts() / 7).astype(np.float32), MASK, 1e4, None)
    assert "as counts divided by a number are" in caplog.text
    assert "as the file says" in rule.origin


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("smallest", [5e-324, 1e-200, 1e-160])
def test_a_speck_beyond_the_range_of_numbers_decides_nothing(smallest):
    patterns = np.sqrt(counts())
    patterns[0, 0, 0] = smallest
    assert quantity(patterns, MASK) == "amplitude"


def test_untrusted_pixels_have_no_say():
    patterns = counts().astype(np.float32)
    patterns[:, 3, 4] = 0.123
    mask = MASK.copy()
    mask[3, 4] = False
    assert quantity(patterns, mask) == "counts"
    assert quantity(patterns, MASK) == "amplitude"


def test_energy_of_uint16_does_not_overflow():
    patterns = np.full((3, 16, 16), 60000, np.uint16)
    np.testing.assert_array_equal(frame_energy(patterns), 256 * 60000.0**2)


def test_normalisation_brings_the_mean_energy_to_a_quarter_of_n_squared():
    patterns = smooth().astype(np.float64)
    scaled = normalisation(float(frame_energy(patterns).mean()), 16) * patterns
    assert frame_energy(scaled).mean() == pytest.approx(16**2 / 4)
    with pytest.raises(DataError, match="without any counts"):
        normalisation(0.0, 16)


def test_the_benchmark_scale_from_the_label_agrees_with_the_one_from_single_counts(benchmark_scan):
    for path in benchmark_scan.values():
        with np.load(path) as file:
            patterns, label = file["diff3d"], float(file["nphotons"])
        mask = np.ones(patterns.shape[1:], bool)
        rule = count_rule(patterns, mask, None, None)
        labelled = np.sqrt(label / frame_energy(patterns).mean())
        # The mean of Poisson counts is known to one over the root of all counts; four of these are allowed.
        assert rule.count_scale == pytest.approx(labelled, rel=4 / np.sqrt(label * len(patterns)))
