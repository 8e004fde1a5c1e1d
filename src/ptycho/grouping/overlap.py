"""How much the members of a group overlap."""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.grouping.groups import Groups


def overlap(groups: Groups, diameter: float) -> Float64[ndarray, " group"]:
    """Return the mean linear overlap of every group's members with their nearest fellow member.

    ``1 - d / D`` for a distance d and a probe diameter D, px, and 0 beyond it; 0 for a group of one. The linear overlap
    is that of Bunk et al., https://doi.org/10.1016/j.ultramic.2007.08.003; for D see ``optics.probe.probe_diameter``.
    """
    members = groups.positions[groups.indices]
    n_groups, size, _ = members.shape
    if size == 1:
        return np.zeros(n_groups)
    nearest = np.empty((n_groups, size))
    for member in range(size):
        distances = np.linalg.norm(members - members[:, member : member + 1], axis=-1)
        distances[:, member] = np.inf
        nearest[:, member] = distances.min(axis=1)
    shared: NDArray[np.float64] = np.clip(1 - nearest / diameter, 0, None).mean(axis=1)
    return shared
