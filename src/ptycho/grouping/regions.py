"""Contiguous regions of a scan: a seed position with its nearest neighbours, drawn so that all are seen alike."""

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from ptycho.base.arrays import Positions

BLOCK = 1024


def region_sides(positions: Float64[ndarray, "region member 2"], size: int) -> tuple[int, int]:
    """Return the sides (height, width), px, that hold the patches of any one of the regions.

    Patches of ``size`` px are cut at whole pixels around positions (y, x) px.

    Examples
    --------
    >>> region_sides(np.array([[[0.0, 0.0], [2.9, 5.0]], [[70.0, 1.0], [71.0, 1.0]]]), 8)
    (10, 13)
    """
    whole = np.floor(positions)
    height, width = (whole.max(axis=1) - whole.min(axis=1)).max(axis=0).astype(int) + size
    return int(height), int(width)


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
        self._look_for_least()

    def draw(self, n_regions: int, rng: np.random.Generator) -> Int64[ndarray, "region member"]:
        """Return the members of regions, the seed first; rarely seen positions are seeds before others."""
        regions = np.empty((n_regions, self.n_members), dtype=np.int64)
        for region in regions:
            seed = self._least(int(rng.integers(self._counts.sum())))
            region[:] = np.atleast_1d(self._tree.query(self._positions[seed], self.n_members)[1])
            self._visits[region] += 1
            seen = region[self._is_least[region]]
            self._is_least[seen] = False
            np.subtract.at(self._counts, seen // BLOCK, 1)
            if not self._counts.any():
                self._look_for_least()
        return regions

    def _look_for_least(self) -> None:
        """Mark the positions that have been seen least, and count them in blocks: a draw looks into one of these."""
        self._is_least = self._visits == self._visits.min()
        self._counts = np.add.reduceat(self._is_least, np.arange(0, len(self._is_least), BLOCK), dtype=np.int64)

    def _least(self, rank: int) -> int:
        """Return the position of a rank among those that have been seen least."""
        up_to = np.cumsum(self._counts)
        block = int(np.searchsorted(up_to, rank, side="right"))
        inside = self._is_least[block * BLOCK : (block + 1) * BLOCK]
        return block * BLOCK + int(np.flatnonzero(inside)[rank - up_to[block] + self._counts[block]])
