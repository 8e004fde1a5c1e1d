import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import KDTree

from ptycho.grouping.halves import halves
from ptycho.simulation.scans import SCANS


@given(n=st.integers(2, 300), seed=st.integers(0, 99), repeated=st.booleans())
def test_every_frame_is_in_one_half_and_the_halves_are_equal(n, seed, repeated):
    positions = np.random.default_rng(seed).uniform(0, 100, (n, 2))
    if repeated:
        positions = np.round(positions / 50) * 50
    one, other = halves(positions)
    assert sorted([*one, *other]) == list(range(n))
    assert abs(len(one) - len(other)) <= 1
    assert (np.diff(one) > 0).all()


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("n", [64, 201])
def test_both_halves_cover_the_whole_field(scan, n):
    positions = SCANS[scan](n, 1.0, np.random.default_rng(0))
    neighbours = np.sort(KDTree(positions).query(positions, k=5)[0][:, 1:], axis=1)
    for half in halves(positions):
        to_nearest = KDTree(positions[half]).query(positions)[0]
        # Wherever a frame was taken, the half has one hardly farther than the frame's own neighbours.
        assert to_nearest.max() <= 1.5 * neighbours[:, -1].max()
        assert np.median(to_nearest) <= np.median(neighbours[:, 0])
