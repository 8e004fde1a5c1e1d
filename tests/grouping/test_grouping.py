"""Neighbours, groups and their overlap."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base.errors import ConfigError
from ptycho.grouping.groups import Groups
from ptycho.grouping.neighbours import nearest
from ptycho.grouping.overlap import overlap
from ptycho.grouping.regions import RegionSampler
from ptycho.grouping.sampling import draw_groups, enough_neighbours


def brute_force(positions, n_neighbours):
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    rows = []
    for i, row in enumerate(distances):
        others = sorted((d, j) for j, d in enumerate(row) if j != i)
        rows.append([i] + [j for _, j in others[:n_neighbours]])
    return np.array(rows)


# Few whole coordinates: many ties and many duplicates.
crowded = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40).map(
    lambda pairs: np.array(pairs, float)
)


@given(crowded, st.data())
def test_nearest_is_the_sorted_list_of_all_distances(positions, data):
    n_neighbours = data.draw(st.integers(0, len(positions) - 1))
    np.testing.assert_array_equal(nearest(positions, n_neighbours), brute_force(positions, n_neighbours))


def test_nearest_of_more_positions_than_a_block():
    positions = np.random.default_rng(0).uniform(0, 100, (1100, 2))
    found = nearest(positions, 3)
    np.testing.assert_array_equal(found[[0, 1023, 1024, 1099]], brute_force(positions, 3)[[0, 1023, 1024, 1099]])


def test_a_position_on_its_own():
    np.testing.assert_array_equal(nearest(np.zeros((1, 2)), 0), [[0]])
    with pytest.raises(ConfigError, match="Dataset has only 1 points"):
        nearest(np.zeros((1, 2)), 1)


@given(crowded, st.integers(1, 4), st.integers(0, 4), st.integers(1, 60), st.integers(0, 99))
def test_groups_hold_their_seed_and_its_neighbours(positions, size, more, n_groups, seed):
    size = min(size, len(positions))
    n_neighbours = size - 1 + more
    groups = draw_groups(positions, size, n_neighbours, n_groups, np.random.default_rng(seed))
    assert groups.indices.shape == (n_groups, size)
    assert groups.indices.dtype == np.int64
    offered = nearest(positions, min(n_neighbours, len(positions) - 1))
    for group in groups.indices:
        assert len(set(group)) == size
        assert set(group) <= set(offered[group[0]])
        assert list(group) == [i for i in offered[group[0]] if i in group]
    uses = np.bincount(groups.indices[:, 0], minlength=len(positions))
    assert uses.max() - uses.min() <= 1
    again = draw_groups(positions, size, n_neighbours, n_groups, np.random.default_rng(seed))
    np.testing.assert_array_equal(groups.indices, again.indices)


def test_too_few_neighbours_are_as_many_as_a_group_needs_and_it_is_said(caplog):
    caplog.set_level(logging.INFO)
    assert enough_neighbours(7, least=3) == enough_neighbours(7, least=7) == 7
    assert not caplog.messages
    assert enough_neighbours(4, least=24) == 24
    assert caplog.messages == ["neighbor_count is 4, too few for a group: members are drawn from 24"]


def test_all_neighbours_are_drawn_alike():
    positions = np.random.default_rng(1).uniform(0, 9, (12, 2))
    groups = draw_groups(positions, 2, 4, 12_000, np.random.default_rng(2))
    drawn = np.bincount(groups.indices[groups.indices[:, 0] == 5, 1], minlength=12)[nearest(positions, 4)[5, 1:]]
    assert drawn.sum() == 1000
    # Four standard deviations of 1000 draws among four.
    assert np.abs(drawn - 250).max() < 4 * np.sqrt(1000 * 0.25 * 0.75)


@pytest.mark.parametrize(
    ("size", "n_neighbours", "n_groups", "said"),
    [(5, 7, 1, "Dataset has only 4 points"), (4, 2, 1, "K=2 must be >= C-1=3"), (0, 2, 1, "found"), (1, 2, 0, "found")],
)
def test_groups_that_a_scan_cannot_give(size, n_neighbours, n_groups, said):
    with pytest.raises(ConfigError, match=said):
        draw_groups(np.eye(4)[:, :2], size, n_neighbours, n_groups, np.random.default_rng(0))


def test_centre_and_relative_positions():
    positions = np.array([[0.0, 0.0], [2.0, 4.0], [7.0, 7.0]])
    groups = Groups(indices=np.array([[0, 1], [2, 2]]), positions=positions)
    np.testing.assert_array_equal(groups.centre, [[1, 2], [7, 7]])
    np.testing.assert_array_equal(groups.relative[0], [[-1, -2], [1, 2]])
    np.testing.assert_array_equal(groups.centre[:, None] + groups.relative, positions[groups.indices])


def test_overlap_is_linear_in_the_distance():
    positions = np.array([[0.0, 0.0], [0.0, 3.0], [4.0, 0.0], [50.0, 50.0]])

    def of(*members, diameter=10.0):
        return overlap(Groups(indices=np.array([members]), positions=positions), diameter)[0]

    assert of(0, 1) == pytest.approx(0.7)
    assert of(0, 0) == 1
    assert of(0, 3) == 0
    assert of(2) == 0
    assert of(0, 1, 2) == pytest.approx((0.7 + 0.7 + 0.6) / 3)
    assert of(0, 1, diameter=30.0) == pytest.approx(0.9)


@pytest.mark.parametrize(("n", "n_members"), [(7, 3), (1, 1), (1024, 4), (2500, 16)])
def test_a_region_begins_at_one_of_the_positions_seen_least_whichever_alike(n, n_members):
    positions = np.random.default_rng(1).uniform(0, 100, (n, 2))
    sampler, rng = RegionSampler(positions, n_members), np.random.default_rng(2)
    plain, visits = np.random.default_rng(2), np.zeros(n, np.int64)
    for _ in range(400):
        region = sampler.draw(1, rng)[0]
        least = np.flatnonzero(visits == visits.min())
        assert region[0] == least[plain.integers(len(least))]
        visits[region] += 1
