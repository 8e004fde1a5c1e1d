import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.metrics.dose import photons_per_pixel, psnr_bound
from ptycho.metrics.likelihood import deviance_moments, poisson_deviance, r_factor

few = settings(max_examples=25, deadline=None)
MASK = np.ones((8, 8), bool)
MASK[2, 3] = False


@few
@given(seed=st.integers(0, 999), gain=st.floats(0.1, 10))
def test_a_model_too_bright_by_a_factor_has_a_known_r(seed, gain):
    measured = np.random.default_rng(seed).poisson(50, (5, 8, 8)).astype(np.uint16)
    assert r_factor(measured, gain * measured.astype(float), MASK) == pytest.approx(abs(np.sqrt(gain) - 1), abs=1e-6)


@few
@given(seed=st.integers(0, 999), mean=st.floats(0.01, 100))
def test_the_deviance_is_twice_the_likelihood_that_is_missing(seed, mean):
    from scipy.stats import poisson

    rng = np.random.default_rng(seed)
    expected = rng.uniform(0.5, 1.5, (5, 8, 8)) * mean
    measured = rng.poisson(expected).astype(np.uint16)
    missing = poisson.logpmf(measured, measured) - poisson.logpmf(measured, expected)
    assert poisson_deviance(measured, expected, MASK) == pytest.approx(2 * missing[:, MASK].mean(), rel=1e-6)


def test_bad_pixels_and_empty_pixels_do_no_harm():
    measured = np.zeros((2, 8, 8), np.uint16)
    measured[:, 0, 0] = 4
    expected = measured.astype(float)
    measured[:, 2, 3] = 60000
    assert poisson_deviance(measured, expected, MASK) == 0
    assert r_factor(measured, expected, MASK) == 0
    expected[0, 0, 0] = 0
    assert poisson_deviance(measured, expected, MASK) == np.inf


def test_the_deviance_of_the_truth_is_about_one():
    rng = np.random.default_rng(0)
    expected = np.full((400, 8, 8), 100.0)
    assert poisson_deviance(rng.poisson(expected), expected, MASK) == pytest.approx(1, abs=0.05)


def test_the_bound_is_what_an_ideal_measurement_reaches():
    rng = np.random.default_rng(0)
    n = 400.0
    real, imaginary = 1 + rng.normal(0, np.sqrt(1 / (2 * n)), (2, 100_000)) * np.array([[1], [1]]) - [[0], [1]]
    amplitude_error = np.mean((np.abs(real + 1j * imaginary) - 1) ** 2)
    assert psnr_bound(n) == pytest.approx(-10 * np.log10(amplitude_error), abs=0.1)


def test_photons_per_pixel_is_the_mean_coverage_of_the_region():
    coverage = np.ones((4, 4), np.float32)
    coverage[0] = 100
    mask = np.zeros((4, 4), bool)
    mask[1:] = True
    assert photons_per_pixel(coverage, mask) == 1


@pytest.mark.parametrize("counts", [0.02, 0.7, 3.0, 250.0])
def test_moments_of_the_deviance_are_those_of_drawn_counts(counts):
    drawn = np.random.default_rng(0).poisson(counts, (200_000, 1, 1))
    deviances = np.array([poisson_deviance(drawn[i::200], np.full((1000, 1, 1), counts), np.ones((1, 1), bool))
                          for i in range(200)])  # fmt: skip
    (mean,), (variance,) = deviance_moments(np.array([counts]))
    # 200 means over 1000 counts each.
    assert deviances.mean() == pytest.approx(mean, abs=4 * (variance / 200_000) ** 0.5)
    assert 1000 * deviances.var() == pytest.approx(variance, rel=0.4)
