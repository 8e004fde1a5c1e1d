"""Stitching by weighted scatter, and the older one by averaging."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.assembly.bilinear import translate
from ptycho.assembly.reassemble import reassemble
from ptycho.assembly.stitch import stitch
from ptycho.base.errors import ConfigError, DataError
from ptycho.optics.shift import fourier_shift

SIZE = 16


def weight():
    axis = np.arange(SIZE) - SIZE // 2
    return np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 18.0)


def noise(seed, *shape):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


scans = st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=1, max_size=12).map(np.array)
light = st.sampled_from([weight(), (weight() > 0.3).astype(float)])


@given(scans, light)
def test_equal_patches_stitch_to_their_own_value(positions, weight_):
    value = 0.6 - 0.8j
    object_, coverage, _ = stitch(np.full((len(positions), SIZE, SIZE), value), positions, weight_)
    covered = coverage > 1e-6 * coverage.max()
    np.testing.assert_allclose(object_[covered], value, rtol=1e-5)
    assert not object_[coverage == 0].any()
    assert (coverage >= 0).all()


def test_whole_positions_give_the_weighted_mean():
    positions = np.array([[20.0, 31.0], [24.0, 28.0], [22.0, 33.0]])
    patches = noise(0, 3, SIZE, SIZE)
    object_, coverage, origin = stitch(patches, positions, weight())
    np.testing.assert_array_equal(origin, [12, 20])
    assert object_.shape == (4 + SIZE, 5 + SIZE)
    total, counted = np.zeros(object_.shape, complex), np.zeros(object_.shape)
    for patch, (y, x) in zip(patches, (positions - [20, 28]).astype(int), strict=True):
        for i in range(SIZE):
            for j in range(SIZE):
                total[y + i, x + j] += weight()[i, j] * patch[i, j]
                counted[y + i, x + j] += weight()[i, j]
    seen = counted > 1e-5 * counted.max()
    np.testing.assert_allclose(coverage, counted, atol=1e-6)
    np.testing.assert_allclose(object_[seen], (total[seen] / counted[seen]), rtol=1e-4)
    assert (object_.dtype, coverage.dtype, origin.dtype) == (np.complex64, np.float32, np.float64)


remainders = st.integers(0, 63).map(lambda step: step / 64)


@given(remainders, remainders)
def test_one_patch_is_moved_by_its_remainder(dy, dx):
    patch = noise(1, 1, SIZE, SIZE)
    object_, coverage, origin = stitch(patch, np.array([[40 + dy, -3 + dx]]), weight())
    shift = np.array([dy, dx])
    np.testing.assert_array_equal(origin, np.floor([40 + dy, -3 + dx]) - SIZE // 2)
    moved = fourier_shift(weight() * patch[0], shift) / fourier_shift(weight().astype(complex), shift)
    bright = coverage > 0.01
    np.testing.assert_allclose(object_[bright], moved[bright], rtol=1e-4, atol=1e-5)


def test_a_smooth_object_comes_back_from_sub_pixel_patches():
    def field(y, x):
        return np.exp(1j * (0.3 * np.sin(y / 7) + 0.4 * np.cos(x / 9)))

    positions = np.random.default_rng(0).uniform(20, 50, (150, 2))
    axis = np.arange(SIZE) - SIZE // 2
    patches = np.stack([field(y + axis[:, None], x + axis[None, :]) for y, x in positions])
    # Band-limited, and down to 0.03 % at the patch's edge, where the periodic shift wraps.
    narrow = weight() ** 2.25
    object_, coverage, origin = stitch(patches, positions, narrow)
    rows, columns = np.indices(object_.shape)
    truth = field(rows + origin[0], columns + origin[1])
    well = coverage > 0.5 * np.median(coverage[coverage > 0.1])
    assert well.sum() > 500
    assert np.abs(object_ - truth)[well].max() < 0.01


@given(scans, st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
def test_moving_the_scan_by_whole_pixels_moves_the_origin_only(positions, shift):
    positions = np.round(positions * 64) / 64
    patches = noise(3, len(positions), SIZE, SIZE)
    here, there = stitch(patches, positions, weight()), stitch(patches, positions + shift, weight())
    np.testing.assert_array_equal(here[0], there[0])
    np.testing.assert_array_equal(here[2] + shift, there[2])


def test_nothing_to_stitch():
    with pytest.raises(DataError, match="no patches"):
        stitch(np.zeros((0, 4, 4), complex), np.zeros((0, 2)), np.ones((4, 4)))


@given(scans, st.sampled_from([4, 9, 16]))
def test_reassembling_is_translating_on_the_canvas_and_averaging(positions, crop):
    patches = noise(4, len(positions), SIZE, SIZE)
    mosaic = reassemble(patches, positions, crop)
    offsets = positions - positions.mean(axis=0)
    side = len(mosaic.numerator)
    pad = (side - crop) // 2
    assert pad % 2 == 0
    assert pad - 2 < np.abs(offsets).max() <= pad
    start = SIZE // 2 - crop // 2
    centres = np.pad(patches[:, start : start + crop, start : start + crop], ((0, 0), (pad, pad), (pad, pad)))
    ones = np.pad(np.ones((len(patches), crop, crop)), ((0, 0), (pad, pad), (pad, pad)))
    np.testing.assert_allclose(mosaic.numerator, translate(centres, offsets).sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(mosaic.denominator, translate(ones, offsets).sum(axis=0), atol=1e-9)
    covered = mosaic.denominator > 1e-3
    np.testing.assert_allclose(mosaic.stitched[covered], (mosaic.numerator / (mosaic.denominator + 1e-9))[covered])
    assert not mosaic.stitched[mosaic.denominator == 0].any()


@pytest.mark.parametrize("crop", [0, 17])
def test_a_centre_that_does_not_fit(crop):
    with pytest.raises(ConfigError, match=f"M={crop}"):
        reassemble(noise(5, 2, SIZE, SIZE), np.zeros((2, 2)), crop)
