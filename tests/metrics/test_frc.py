import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.base.errors import DataError
from ptycho.metrics.frc import Frc, fourier_ring_correlation

few = settings(max_examples=20, deadline=None)


def noise(seed, height=96, width=96):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(height, width)) + 1j * rng.normal(size=(height, width))


@few
@given(seed=st.integers(0, 999), gain=st.floats(0.1, 10), offset=st.floats(-5, 5), side=st.integers(16, 70))
def test_agreement_sees_neither_gain_nor_mean(seed, gain, offset, side):
    image = noise(seed, side, side + 3)
    frc = fourier_ring_correlation(gain * image + offset, image)
    np.testing.assert_allclose(frc.correlation, 1, atol=1e-9)
    assert frc.crossing("one_bit") == frc.crossing(0.5) == 1.0
    assert frc.frequency[-1] == pytest.approx(2 * (side // 2) / side)


@few
@given(seed=st.integers(0, 999), snr=st.floats(0.1, 10))
def test_signal_and_noise_give_the_correlation_that_theory_says(seed, snr):
    signal = np.sqrt(snr) * noise(seed)
    frc = fourier_ring_correlation(signal + noise(seed + 1000), signal + noise(seed + 2000))
    mean = np.average(frc.correlation, weights=frc.n_pixels)
    assert mean == pytest.approx(snr / (snr + 1), abs=0.06)


@few
@given(seed=st.integers(0, 999), real=st.booleans())
def test_independent_images_scatter_like_one_over_root_n(seed, real):
    one, other = noise(seed), noise(seed + 1000)
    frc = fourier_ring_correlation(one.real, other.real) if real else fourier_ring_correlation(one, other)
    pulls = frc.correlation * np.sqrt(frc.n_pixels)
    # Re of a complex correlation has half the variance of its modulus squared; a real image has half the pixels.
    expected = 1.0 if real else np.sqrt(0.5)
    assert pulls.std() == pytest.approx(expected, rel=0.5)
    assert frc.crossing("half_bit") < 0.3


def test_a_flat_image_agrees_with_nothing():
    frc = fourier_ring_correlation(np.full((64, 64), 0.7 + 0.1j, np.complex64), noise(0, 64, 64))
    assert not frc.correlation.any()
    assert frc.crossing(0.5) == frc.crossing("half_bit") == 0.0


def test_a_blur_and_noise_lower_the_resolution():
    turns = np.fft.fftfreq(96)
    truth = noise(1)

    def blurred(cut):
        return np.fft.ifft2(np.fft.fft2(truth) * (np.hypot(turns[:, None], turns) < cut)) + 0.05 * noise(2)

    for cut in (0.1, 0.2, 0.35):
        frc = fourier_ring_correlation(blurred(cut), truth)
        assert frc.crossing(0.5) == pytest.approx(2 * cut, abs=0.06)


def test_thresholds_at_many_pixels_are_the_published_limits():
    frc = fourier_ring_correlation(noise(0, 512, 512), noise(1, 512, 512))
    assert frc.half_bit[-1] == pytest.approx(0.2071 / 1.2071, abs=0.05)
    assert frc.one_bit[-1] == pytest.approx(1 / 3, abs=0.05)
    for threshold in (frc.half_bit, frc.one_bit):
        assert (np.diff(threshold[np.argsort(frc.n_pixels)]) <= 0).all(), "more pixels, a lower bar"
    assert (frc.one_bit > frc.half_bit).all()


def test_a_real_image_has_every_fourier_pixel_twice_and_needs_a_higher_correlation():
    image = noise(0)
    both, real = fourier_ring_correlation(image, image), fourier_ring_correlation(image.real, image.real)
    np.testing.assert_array_equal(both.n_pixels, real.n_pixels)
    assert (real.half_bit > both.half_bit).all()
    assert (real.one_bit > both.one_bit).all()


def curve(values):
    n = np.arange(1, len(values) + 1)
    return Frc(n / len(values), np.asarray(values, float), 0.2 + 0.0 * n, 0.4 + 0.0 * n, n, 0.0 * n)


def test_crossings_are_interpolated():
    frc = curve([0.9, 0.7, 0.3, 0.8])
    assert frc.crossing(0.5) == pytest.approx(0.625)
    assert frc.crossing("one_bit") == pytest.approx(0.6875)
    assert frc.crossing("half_bit") == 1.0
    assert frc.crossing(0.95) == 0.0
    assert frc.lowest_up_to(0.5) == 0.7
    assert frc.lowest_up_to(0.75) == 0.3
    assert frc.lowest_up_to(0.01) == 0.9


@pytest.mark.parametrize("shapes", [((16, 16), (16, 17)), ((15, 40), (15, 40))])
def test_images_that_cannot_be_correlated_are_refused(shapes):
    with pytest.raises(DataError, match="16 px"):
        fourier_ring_correlation(*(np.ones(shape) for shape in shapes))
