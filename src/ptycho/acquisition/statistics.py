"""What the checks and the summary need to know of a scan: the sums over its frames, and how its positions lie."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ptycho.acquisition.acquisition import Acquisition, Totals
from ptycho.optics.probe import probe_diameter

ON_A_LINE = 1e-6  # width over length of positions in a row


@dataclass(frozen=True, eq=False)
class Statistics(Totals):
    """Sums over all frames of a scan, and how its positions lie.

    Attributes
    ----------
    step
        Distance of neighbours, px: the step of the square grid that is as dense; 0 for one position.
    n_duplicates
        Positions that repeat an earlier one exactly.
    diameter
        Diameter of the probe, px; see ``ptycho.optics.probe.probe_diameter``.
    """

    step: float
    n_duplicates: int
    diameter: float

    @cached_property
    def overlap(self) -> float:
        """Linear overlap of neighbours, ``1 - step / diameter``: fraction of the probe diameter, 0 where a gap is.

        Bunk et al. 2008, https://doi.org/10.1016/j.ultramic.2007.08.003.
        """
        return max(0.0, 1.0 - self.step / self.diameter) if self.diameter > 0 else 0.0

    @property
    def gap(self) -> float:
        """Distance that no light reaches between two neighbouring probes, px; 0 where they touch or overlap."""
        return max(0.0, self.step - self.diameter)


def statistics(acquisition: Acquisition) -> Statistics:
    """Return the sums over ``acquisition``, and how its positions lie."""
    totals = acquisition.totals
    distinct = np.unique(acquisition.positions, axis=0)
    return Statistics(
        mean_pattern=totals.mean_pattern,
        frame_counts=totals.frame_counts,
        step=_step(distinct),
        n_duplicates=acquisition.n_positions - len(distinct),
        diameter=probe_diameter(acquisition.probe),
    )


def centre_of_mass(pattern: Float64[ndarray, "y x"]) -> tuple[float, float]:
    """Return the centre of mass (y, x) of a pattern, px; the middle N // 2 for a dark one."""
    total = float(pattern.sum())
    if total == 0:
        return pattern.shape[0] // 2, pattern.shape[1] // 2
    rows, columns = np.indices(pattern.shape)
    return float((rows * pattern).sum() / total), float((columns * pattern).sum() / total)


def _step(positions: Float64[ndarray, "position 2"]) -> float:
    """Return the step d of the square grid as dense as these positions, px: n d^2 = A + d U / 2 + d^2.

    A and U are area and circumference of their convex hull, from which a grid's outermost cells stick out by d / 2.
    """
    n = len(positions)
    if n < 2:
        return 0.0
    area, circumference = _hull(positions)
    half = circumference / 2
    return float((half + np.sqrt(half**2 + 4 * (n - 1) * area)) / (2 * (n - 1)))


def _hull(positions: Float64[ndarray, "position 2"]) -> tuple[float, float]:
    """Return area and circumference of the convex hull; of a line 0 and twice its length."""
    from scipy.spatial import ConvexHull

    _, widths, axes = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=False)
    if widths[1] <= ON_A_LINE * widths[0]:
        return 0.0, 2 * float(np.ptp(positions @ axes[0]))
    hull = ConvexHull(positions)
    return float(hull.volume), float(hull.area)
