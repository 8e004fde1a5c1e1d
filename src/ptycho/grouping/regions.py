"""Contiguous regions of a scan: a seed position with its nearest neighbours, drawn so that all are seen alike."""

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from ptycho.base.arrays import Positions

# Positions whose least seen ones are counted together: a draw looks at one block, and at the number of each.
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
        self._new_round()

    def draw(self, n_regions: int, rng: np.random.Generator) -> Int64[ndarray, "region member"]:
        """Return the members of regions, the seed first; rarely seen positions are seeds before others."""
        regions = np.empty((n_regions, self.n_members), dtype=np.int64)
        for region in regions:
            seed = self._rarest(int(rng.integers(self._n_least)))
            region[:] = np.atleast_1d(self._tree.query(self._positions[seed], self.n_members)[1])
            first_time = region[self._is_least[region]]
            self._visits[region] += 1
            self._is_least[first_time] = False
            np.subtract.at(self._in_block, first_time // BLOCK, 1)
            self._n_least -= len(first_time)
            if self._n_least == 0:
                self._new_round()
        return regions

    def _new_round(self) -> None:
        """Mark the positions that were seen least, and count them block by block."""
        self._is_least = self._visits == self._visits.min()
        self._in_block = np.add.reduceat(self._is_least, np.arange(0, len(self._is_least), BLOCK), dtype=np.int64)
        self._n_least = int(self._in_block.sum())

    def _rarest(self, number: int) -> int:
        """Return one of the positions that were seen least, by its number among them."""
        up_to = self._in_block.cumsum()
        block = int(np.searchsorted(up_to, number, side="right"))
        within = number - int(up_to[block] - self._in_block[block])
        return block * BLOCK + int(np.flatnonzero(self._is_least[block * BLOCK : (block + 1) * BLOCK])[within])
