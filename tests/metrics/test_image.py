import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.base.errors import BackendNotInstalledError, DataError
from ptycho.metrics.image import complex_nrmse, flatness, pearson, phase_near, psnr, ssim

few = settings(max_examples=25, deadline=None)
ALL = np.ones((24, 30), bool)


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape or ALL.shape)


@few
@given(seed=st.integers(0, 999), relative=st.floats(1e-6, 1))
def test_nrmse_of_a_relative_error_is_that_error(seed, relative):
    reference = noise(seed) + 1j * noise(seed + 1000)
    assert complex_nrmse(reference * (1 + relative * 1j), reference, ALL) == pytest.approx(relative, rel=1e-6)


@few
@given(seed=st.integers(0, 999), error=st.floats(1e-4, 1), peak=st.floats(0.1, 10))
def test_psnr_of_a_constant_error(seed, error, peak):
    reference = noise(seed)
    assert psnr(reference + error, reference, ALL, peak) == pytest.approx(20 * np.log10(peak / error), abs=1e-6)


def test_only_the_mask_counts():
    reference = noise(0) + 1j * noise(1)
    image, mask = reference.copy(), ALL.copy()
    mask[3, 4] = False
    image[3, 4] = 1e6
    assert complex_nrmse(image, reference, mask) == 0
    assert psnr(image.real, reference.real, mask) == np.inf
    assert pearson(image.real, reference.real, mask) == pytest.approx(1)
    assert flatness(image, mask) == flatness(reference, mask)


@few
@given(seed=st.integers(0, 999), gain=st.floats(1e-2, 1e2), offset=st.floats(-10, 10), sign=st.sampled_from([-1, 1]))
def test_pearson_sees_neither_gain_nor_offset(seed, gain, offset, sign):
    one, other = noise(seed), noise(seed + 1000)
    plain = pearson(one, other, ALL)
    assert plain == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1], abs=1e-9)
    assert pearson(sign * gain * one + offset, other, ALL) == pytest.approx(sign * plain, abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.7])
def test_a_constant_correlates_with_nothing(constant):
    assert pearson(np.full(ALL.shape, constant), noise(0), ALL) == 0


@few
@given(seed=st.integers(0, 999))
def test_phase_near_is_a_phase_of_the_image_within_half_a_turn_of_the_reference(seed):
    image, reference = (np.exp(4j * noise(seed + step)) for step in (0, 1000))
    near = phase_near(image, reference)
    np.testing.assert_allclose(np.exp(1j * near), image, atol=1e-9)
    assert np.abs(near - np.angle(reference)).max() <= np.pi + 1e-9


def test_similarity_of_a_flat_picture_is_low_and_of_itself_one():
    picture = 0.3 * noise(0, 40, 40)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(np.full((40, 40), picture.mean()), picture) < 0.2
    assert ssim(picture + 0.1 * noise(1, 40, 40), picture) < ssim(picture + 0.05 * noise(1, 40, 40), picture) < 1


@few
@given(gain=st.floats(0.01, 100))
def test_similarity_does_not_depend_on_the_unit(gain):
    reference, image = noise(0, 30, 30), noise(0, 30, 30) + 0.2 * noise(1, 30, 30)
    assert ssim(gain * image, gain * reference) == pytest.approx(ssim(image, reference), rel=1e-9)


@pytest.mark.parametrize("picture", [np.zeros((10, 40)), np.zeros((40, 40))])
def test_similarity_of_too_little_is_refused(picture):
    with pytest.raises(DataError, match="larger region"):
        ssim(picture, picture)


def test_similarity_without_scikit_image_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(BackendNotInstalledError, match=r"ptychopinn\[report\]"):
        ssim(noise(0), noise(0))


@few
@given(seed=st.integers(0, 99), turn=st.floats(-np.pi, np.pi), gain=st.floats(0.1, 10))
def test_flatness_does_not_see_the_global_phase(seed, turn, gain):
    amplitude, phase = 1 + 0.05 * noise(seed), 0.2 * noise(seed + 1000)
    found = flatness(gain * amplitude * np.exp(1j * (phase + turn)), ALL)
    assert found == pytest.approx((gain * amplitude.std(), phase.std()), rel=1e-6)
    assert flatness(gain * np.exp(1j * turn) * np.ones(ALL.shape), ALL) == pytest.approx((0, 0), abs=1e-9)
