"""Regions are drawn about the positions that were seen least, whatever the size of the scan."""

import numpy as np
import pytest

from ptycho.grouping import regions
from ptycho.grouping.regions import RegionSampler


def by_hand(positions, n_members, n_regions, rngs):
    """The same draws, looking at every position each time."""
    visits = np.zeros(len(positions), int)
    for rng in rngs:
        for _ in range(n_regions):
            least = np.flatnonzero(visits == visits.min())
            seed = least[rng.integers(len(least))]
            region = np.argsort(np.linalg.norm(positions - positions[seed], axis=1))[:n_members]
            visits[region] += 1
            yield region


@pytest.mark.parametrize(("n_positions", "n_members", "block"), [(60, 8, 1024), (60, 60, 7), (130, 5, 16), (1, 1, 4)])
def test_seeds_are_drawn_from_those_that_were_seen_least(n_positions, n_members, block, monkeypatch):
    monkeypatch.setattr(regions, "BLOCK", block)
    positions = np.random.default_rng(0).uniform(0, 100, (n_positions, 2))
    sampler, n_regions = RegionSampler(positions, n_members), 2 * n_positions // n_members + 1
    found = [sampler.draw(n_regions, np.random.default_rng(epoch)) for epoch in range(4)]
    rngs = [np.random.default_rng(epoch) for epoch in range(4)]
    np.testing.assert_array_equal(np.concatenate(found), list(by_hand(positions, n_members, n_regions, rngs)))
