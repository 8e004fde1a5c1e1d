import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.metrics.region import bounding_box, covered, eroded, extended, largest_rectangle, typical_light

few = settings(max_examples=25, deadline=None)


def largest_by_trying_all(mask):
    height, width = mask.shape
    return max(
        (bottom - top) * (right - left)
        for top in range(height)
        for bottom in range(top, height + 1)
        for left in range(width)
        for right in range(left, width + 1)
        if mask[top:bottom, left:right].all()
    )


@few
@given(seed=st.integers(0, 999), height=st.integers(1, 8), width=st.integers(1, 9), density=st.floats(0, 1))
def test_the_rectangle_is_the_largest(seed, height, width, density):
    mask = np.random.default_rng(seed).random((height, width)) < density
    rectangle = largest_rectangle(mask)
    assert mask[rectangle].all()
    assert mask[rectangle].size == largest_by_trying_all(mask)


def test_the_rectangle_of_a_large_disc_lies_inside_and_is_nearly_the_square():
    y, x = np.indices((900, 1100))
    mask = np.hypot(y - 450, x - 500) < 400
    rectangle = largest_rectangle(mask)
    assert mask[rectangle].all()
    assert mask[rectangle].size > 0.95 * 2 * 400**2


@few
@given(gain=st.floats(1e-6, 1e9), fraction=st.floats(0.05, 1.0))
def test_covered_does_not_depend_on_the_dose(gain, fraction):
    coverage = np.linspace(0, 1, 64, dtype=np.float64).reshape(8, 8) ** 2
    mask = covered(gain * coverage, fraction)
    np.testing.assert_array_equal(mask, covered(coverage, fraction))
    assert not mask[coverage == 0].any()
    assert mask.any()


def test_faint_skirts_do_not_lower_the_bar():
    coverage = np.full((40, 40), 1e-9)
    coverage[10:20, 10:20] = 5.0
    assert np.count_nonzero(covered(coverage, 0.1)) == 100
    assert not covered(np.zeros((4, 4)), 0.1).any()


def test_erosion_takes_the_rim_and_the_border_of_the_array():
    mask = eroded(np.ones((9, 9), bool), 2)
    assert mask.sum() == 25
    assert mask[2:7, 2:7].all()


def test_extension_repeats_the_nearest_and_keeps_the_inside():
    image = np.arange(12.0).reshape(3, 4)
    mask = np.zeros((3, 4), bool)
    mask[:, 1:3] = True
    np.testing.assert_array_equal(extended(image, mask), image[:, [1, 1, 2, 2]])


def test_the_box_holds_the_mask_with_its_margin():
    mask = np.zeros((20, 30), bool)
    mask[5:8, 1:12] = True
    assert bounding_box(mask, 2) == (slice(3, 10), slice(0, 14))


def test_the_typical_light_knows_no_skirts():
    light = np.full((20, 20), 1e-3)
    light[:3] = [[1.0], [2.0], [3.0]]
    assert typical_light(light) == 2
    assert typical_light(np.zeros((4, 4))) == 0
