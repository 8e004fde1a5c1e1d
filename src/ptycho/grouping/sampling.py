"""Draw groups of neighbouring positions."""

import logging
import math

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from ptycho.base.arrays import Positions
from ptycho.base.errors import ConfigError
from ptycho.grouping.groups import Groups
from ptycho.grouping.neighbours import nearest

logger = logging.getLogger(__name__)


def enough_neighbours(n_neighbours: int, least: int) -> int:
    """Return how many neighbours groups are drawn from: those asked for, or ``least``, which groups of a size need.

    Examples
    --------
    >>> enough_neighbours(4, least=8)
    8
    """
    if n_neighbours < least:
        logger.info("neighbor_count is %d, too few for a group: members are drawn from %d", n_neighbours, least)
    return max(n_neighbours, least)


def draw_groups(positions: Positions, size: int, n_neighbours: int, n_groups: int, rng: np.random.Generator) -> Groups:
    """Draw groups of ``size`` positions: a seed and ``size - 1`` of its nearest neighbours, nearest first.

    Every position is a seed before any is one twice.

    Parameters
    ----------
    positions
        (position, 2), (y, x) px.
    size
        Members of a group.
    n_neighbours
        Nearest neighbours that the other members are drawn from; a scan with fewer positions offers all it has.
    n_groups
        Number of groups.
    rng
        Source of randomness.

    Raises
    ------
    ConfigError
        The scan has fewer positions than a group, the neighbours are too few, or a number isn't positive.
    """
    n = len(positions)
    if size < 1 or n_groups < 1:
        raise ConfigError(f"found {n_groups} groups of {size}, expected at least one of each; ask for more")
    if n < size:
        raise ConfigError(f"Dataset has only {n} points, a group needs {size}; lower gridsize or use more positions")
    if n_neighbours < size - 1:
        raise ConfigError(
            f"K={n_neighbours} must be >= C-1={size - 1}, the neighbours that join a seed; raise the neighbour count"
        )
    rounds = [rng.permutation(n) for _ in range(math.ceil(n_groups / n))]
    seeds = np.concatenate(rounds)[:n_groups]
    neighbours = nearest(positions, min(n_neighbours, n - 1))
    return Groups(indices=join(seeds, neighbours, size, rng), positions=positions)


def join(
    seeds: Int64[ndarray, " group"],
    neighbours: Int64[ndarray, "position neighbour"],
    size: int,
    rng: np.random.Generator,
) -> Int64[ndarray, "group member"]:
    """Return every seed with ``size - 1`` of its neighbours, drawn, nearest first.

    ``neighbours`` are those of every position, itself first (`ptycho.grouping.neighbours.nearest`).
    """
    others = rng.random((len(seeds), neighbours.shape[1] - 1)).argsort(axis=1)[:, : size - 1]
    columns = np.concatenate([np.zeros((len(seeds), 1), np.int64), np.sort(others, axis=1) + 1], axis=1)
    return np.take_along_axis(neighbours[seeds], columns, axis=1)
