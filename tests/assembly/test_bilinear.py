"""Cutting and moving at sub-pixel places."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ptycho.assembly.bilinear import cut, translate


def noise(seed, *shape):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


shifts = st.tuples(st.floats(-20, 20), st.floats(-20, 20))


@given(st.integers(0, 99), shifts)
def test_moving_agrees_with_scipy(seed, shift):
    image = noise(seed, 12, 15)
    # Scipy cuts off at the edge where a neighbour outside counts as zero; a rim of zeros makes the two alike.
    padded = np.pad(image, 3)
    expected = ndimage.shift(padded, shift, order=1, mode="constant", prefilter=False)[3:-3, 3:-3]
    np.testing.assert_allclose(translate(image[None], np.array([shift]))[0], expected, atol=1e-12)


def test_content_moves_forward():
    image = np.zeros((1, 8, 8))
    image[0, 2, 3] = 1
    assert np.argwhere(translate(image, np.array([[2.0, -1.0]]))[0]).tolist() == [[4, 2]]


@given(shifts)
def test_a_patch_shows_the_object_at_its_position(position):
    object_ = noise(1, 24, 30)
    y, x = position
    patch = cut(object_, np.array([position]), 8)[0]
    rows, columns = np.meshgrid(y - 4 + np.arange(8), x - 4 + np.arange(8), indexing="ij")
    expected = ndimage.map_coordinates(np.pad(object_, 40), [rows + 40, columns + 40], order=1)
    np.testing.assert_allclose(patch, expected, atol=1e-12)


def test_whole_positions_copy_pixels():
    object_ = noise(2, 20, 20).astype(np.complex64)
    patches = cut(object_, np.array([[10.0, 8.0]]), 6)
    assert patches.dtype == np.complex64
    np.testing.assert_array_equal(patches[0], object_[7:13, 5:11])


def test_patches_beside_the_object_are_dark():
    assert not cut(noise(3, 10, 10), np.array([[-50.0, 3.0], [3.0, 1e9]]), 6).any()
