"""The groups that older results came from."""

import numpy as np
import pytest

from ptycho.base.errors import ConfigError
from ptycho.grouping.compatible import draw_groups_legacy


def scan(n=30, seed=0):
    return np.random.default_rng(seed).uniform(0, 50, (2, n))


def draw(n=30, **choices):
    return draw_groups_legacy(*scan(n), **{"n_groups": 10, "n_neighbours": 6, "size": 4, "seed": 1} | choices)


@pytest.mark.parametrize("more", [{}, {"n_groups": 100, "oversampling": True}, {"sequential": True}, {"size": 1}])
def test_a_seed_decides_and_the_global_generator_is_left_alone(more):
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.RandomState(3).rand()
    np.testing.assert_array_equal(draw(**more), draw(**more))
    assert np.random.rand() == expected  # noqa: NPY002


def test_without_a_seed_draws_differ():
    assert not np.array_equal(draw(seed=None, n_groups=30), draw(seed=None, n_groups=30))


def test_sequential_groups_do_not_look_at_the_seed():
    np.testing.assert_array_equal(draw(sequential=True, seed=1), draw(sequential=True, seed=2))
    np.testing.assert_array_equal(draw(sequential=True, size=1)[:, 0], np.arange(10))


def test_groups_of_one_are_never_more_than_the_positions():
    np.testing.assert_array_equal(draw(size=1, n_groups=99)[:, 0], np.arange(30))


def test_members_are_neighbours_of_a_seed_that_is_not_among_them():
    x, y = scan()
    distances = np.hypot(x[:, None] - x, y[:, None] - y)
    order = distances.argsort(axis=1)
    for seed, group in enumerate(draw(n_groups=30)):
        assert len(set(group)) == 4
        assert set(group) <= set(order[seed, 1:7])


def test_oversampling_gives_different_groups_of_neighbours():
    groups = draw(n_groups=100, oversampling=True, pool=7)
    assert len({tuple(group) for group in groups}) == 100
    assert all(len(set(group)) == 4 for group in groups)


def test_a_scan_of_one_group_is_that_group(caplog):
    assert {tuple(sorted(g)) for g in draw(n=4, n_groups=4).tolist()} == {(0, 1, 2, 3)}
    assert draw(n=4, n_groups=9, oversampling=True, pool=4).shape == (9, 4)
    assert "drawn more than once" in caplog.text


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"n_groups": 0}, "found 0 groups of 4"),
        ({"size": 0}, "found 10 groups of 0"),
        ({"n": 3}, "Dataset has only 3 points"),
        ({"n_neighbours": 3, "size": 5}, "K=3 must be >= C=5"),
        ({"n_groups": 31}, "K choose C oversampling.*enable_oversampling.*OVERSAMPLING-001"),
        ({"n_groups": 31, "oversampling": True, "pool": 3}, "neighbor_pool_size >= C"),
    ],
)
def test_groups_that_a_scan_cannot_give(choices, said):
    with pytest.raises(ConfigError, match=said) as refusal:
        draw(**choices)
    assert "\n" not in str(refusal.value)
