"""Draw the groups that older results came from, index by index: NumPy's legacy generator in the same call order."""

import logging
import math
from itertools import combinations, islice
from typing import Any

import numpy as np
from jaxtyping import Float64, Int
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.errors import ConfigError

logger = logging.getLogger(__name__)


def draw_groups_legacy(
    x: Float64[ndarray, " position"],
    y: Float64[ndarray, " position"],
    *,
    n_groups: int,
    n_neighbours: int,
    size: int,
    seed: int | None = None,
    sequential: bool = False,
    oversampling: bool = False,
    pool: int | None = None,
) -> Int[ndarray, "group member"]:
    """Return groups of positions by index, int32 (int64 at size 1 and when oversampling, as it always was).

    A group is ``size`` of the seed's nearest neighbours in random order *without the seed itself*; at size 1 it is the
    seed. Every position is a seed at most once, unless there are more groups than positions: then combinations of a few
    seeds' neighbours are pooled and groups drawn from the pool. Groups of one are never more than the positions.

    Parameters
    ----------
    x, y
        Columns and rows, px.
    n_groups, n_neighbours, size
        Number of groups, neighbours to draw from, members of a group.
    seed
        Seed of the legacy generator; None draws differently each time.
    sequential
        Seeds are the first positions in order, and ``seed`` isn't looked at.
    oversampling
        Allow more groups than positions.
    pool
        Neighbours to draw from when oversampling; ``n_neighbours`` when None.

    Raises
    ------
    ConfigError
        There is nothing to draw, fewer positions than members, fewer neighbours than members, or more groups than
        positions when that isn't allowed.
    """
    n = len(x)
    if size < 1 or n_groups < 1:
        raise ConfigError(f"found {n_groups} groups of {size}, expected at least one of each; ask for more")
    if n < size:
        raise ConfigError(f"Dataset has only {n} points, a group needs {size}; lower gridsize or use more positions")
    if n_groups > n and size > 1:
        pool = pool or n_neighbours
        _check_oversampling(n, n_groups, size, oversampling, pool)
        return _oversampled(_offered(x, y, pool, size), n_groups, size, np.random.RandomState(seed))
    if n_neighbours < size:
        raise ConfigError(f"K={n_neighbours} must be >= C={size}, the members of a group; raise the neighbour count")
    n_groups = min(n_groups, n)
    state = np.random.RandomState(0 if sequential else seed)
    in_order = sequential or n_groups == n
    seeds = np.arange(n_groups) if in_order else state.choice(np.arange(n), size=n_groups, replace=False)
    if size == 1:
        return seeds.astype(np.int64)[:, None]
    offered = _offered(x, y, n_neighbours, size)
    return np.array([state.choice(offered[i], size=size, replace=False) for i in seeds], dtype=np.int32)


def _check_oversampling(n: int, n_groups: int, size: int, oversampling: bool, pool: int) -> None:
    if not oversampling:
        raise ConfigError(
            f"found {n_groups} groups asked of {n} positions, expected at most {n} without K choose C oversampling; "
            f"set enable_oversampling=True, or ask for {n} (nsamples; NumSamples in Ptychodus) (OVERSAMPLING-001)"
        )
    if pool < size:
        raise ConfigError(f"oversampling needs neighbor_pool_size >= C: found {pool} for C={size}; raise it")


def _oversampled(
    offered: NDArray[np.int64], n_groups: int, size: int, state: np.random.RandomState
) -> NDArray[np.int64]:
    """Draw from the combinations of twice the seeds that are needed, at most ``2 n_groups`` combinations pooled."""
    n, n_neighbours = offered.shape
    n_seeds = min(2 * math.ceil(n_groups / math.comb(n_neighbours, size)), n)
    seeds = state.choice(np.arange(n), size=n_seeds, replace=False)
    pooled = list(islice((group for i in seeds for group in combinations(offered[i], size)), 2 * n_groups))
    short = len(pooled) < n_groups
    if short:
        logger.warning("%d different groups for %d asked for: some are drawn more than once", len(pooled), n_groups)
    return np.array(pooled, dtype=np.int64)[state.choice(len(pooled), size=n_groups, replace=short)]


def _offered(x: NDArray[Any], y: NDArray[Any], n_neighbours: int, size: int) -> NDArray[np.int64]:
    """Return the nearest neighbours in the order of the search without its first hit, which a scan of C keeps."""
    from scipy.spatial import cKDTree

    points = np.column_stack([x, y])
    _, hits = cKDTree(points).query(points, k=np.arange(1, min(n_neighbours + 1, len(points)) + 1))
    return np.asarray(hits if len(points) == size else np.asarray(hits)[:, 1:], dtype=np.int64)
