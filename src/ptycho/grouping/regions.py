"""Contiguous regions of a scan: a seed position with its nearest neighbours, drawn so that all are seen alike."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from ptycho.base.arrays import Positions


class RegionSampler:
    """Draws regions around the positions that have been seen least.

    Parameters
    ----------
    positions
        (position, 2) (y, x), px.
    n_members
        Positions in a region, the seed among them; at most the number of positions.
    """

    def __init__(self, positions: Positions, n_members: int) -> None:
        from scipy.spatial import cKDTree

        self.n_members = n_members
        self._positions = positions
        self._tree = cKDTree(positions)
        self._visits = np.zeros(len(positions), dtype=np.int64)

    def draw(self, n_regions: int, rng: np.random.Generator) -> Int64[ndarray, "region member"]:
        """Return the members of regions, the seed first; rarely seen positions are seeds before others."""
        regions = np.empty((n_regions, self.n_members), dtype=np.int64)
        for region in regions:
            least = np.flatnonzero(self._visits == self._visits.min())
            seed = least[rng.integers(len(least))]
            region[:] = np.atleast_1d(self._tree.query(self._positions[seed], self.n_members)[1])
            self._visits[region] += 1
        return regions
