"""Neighbours of scan positions."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.arrays import Positions
from ptycho.base.errors import ConfigError

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

BLOCK = 1024


def nearest(positions: Positions, n_neighbours: int) -> Int64[ndarray, "position neighbour"]:
    """Return for every position itself and its ``n_neighbours`` nearest others, nearest first.

    The first column is the position itself even where another one has the same coordinates; among equal distances the
    lower index comes first, so that the answer for a raster doesn't depend on how the search is done.

    Parameters
    ----------
    positions
        (position, 2), px.
    n_neighbours
        Number of others, 0 to n - 1; the result has one column more.

    Raises
    ------
    ConfigError
        There are not so many others.
    """
    n = len(positions)
    if not 0 <= n_neighbours < n:
        raise ConfigError(
            f"Dataset has only {n} points, {n_neighbours} neighbours of each were asked for; ask for at most {n - 1}"
        )
    from scipy.spatial import cKDTree

    tree = cKDTree(positions)
    blocks = [_block(tree, positions, np.arange(i, min(i + BLOCK, n)), n_neighbours + 1) for i in range(0, n, BLOCK)]
    return np.concatenate(blocks)


def _block(tree: "cKDTree", positions: Positions, rows: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Search wider until every row knows all points at the distance of its last neighbour, then order them."""
    found = np.empty((len(rows), wanted), np.int64)
    open_rows = np.arange(len(rows))
    width = wanted
    while len(open_rows):
        width = min(2 * width + 2, len(positions))
        seeds = rows[open_rows]
        hits = tree.query(positions[seeds], k=np.arange(1, width + 1))
        distances, indices = np.asarray(hits[0]), np.asarray(hits[1])
        order = np.lexsort((indices, distances, indices != seeds[:, None]), axis=-1)[:, :wanted]
        found[open_rows] = np.take_along_axis(indices, order, axis=1)
        cut_tie = distances[:, -1] <= distances[:, wanted - 1]
        open_rows = open_rows[cut_tie] if width < len(positions) else open_rows[:0]
    return found
