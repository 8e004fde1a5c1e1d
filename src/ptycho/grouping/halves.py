"""Two halves of a scan that both cover the whole field."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from ptycho.base.arrays import Positions


def halves(positions: Positions) -> tuple[Int64[ndarray, " half"], Int64[ndarray, " other"]]:
    """Deal the frames of a scan to two halves so that of every few neighbours each half gets its share.

    A k-d tree splits the field at the median again and again and so lines the positions up, neighbours beside each
    other; along that line they are dealt one, two, two, one. Both halves are in the order of the scan.

    Examples
    --------
    >>> halves(np.array([[0.0, 0.0], [0.0, 9.0], [0.0, 1.0], [0.0, 8.0]]))
    (array([0, 1]), array([2, 3]))
    """
    from scipy.spatial import KDTree

    line = np.asarray(KDTree(positions, leafsize=1).indices, dtype=np.int64)
    first = np.isin(np.arange(len(line)) % 4, (0, 3))
    return np.sort(line[first]), np.sort(line[~first])
