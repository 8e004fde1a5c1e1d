"""Scan patterns to simulate: sub-pixel positions (y, x) in px around an arbitrary origin, one per step^2 of area."""

from collections.abc import Callable

import numpy as np

from ptycho.base.arrays import Positions

ScanMaker = Callable[[int, float, np.random.Generator], Positions]

JITTER = 0.15  # of the step, largest offset of a raster position in y and in x
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def raster(n_positions: int, step: float, rng: np.random.Generator) -> Positions:
    """Rows of a square grid, each position moved by up to 15 % of the step, which a regular grid needs.

    A perfect grid leaves a periodic error in the object (Thibault et al. 2009, DOI 10.1016/j.ultramic.2008.12.011).
    """
    columns = int(np.ceil(np.sqrt(n_positions)))
    grid = np.stack(np.divmod(np.arange(n_positions), columns), axis=1)
    return step * (grid + rng.uniform(-JITTER, JITTER, grid.shape))


def spiral(n_positions: int, step: float, rng: np.random.Generator) -> Positions:
    """Fermat spiral, r = step sqrt(k / pi) at k golden angles, turned by a random angle.

    Even density in every direction (Huang et al. 2014, DOI 10.1364/OE.22.012634).
    """
    k = np.arange(n_positions)
    radius, angle = step * np.sqrt((k + 0.5) / np.pi), k * GOLDEN_ANGLE + rng.uniform(0, 2 * np.pi)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def random(n_positions: int, step: float, rng: np.random.Generator) -> Positions:
    """Independent positions, uniform in a square."""
    return rng.uniform(0, step * np.sqrt(n_positions), (n_positions, 2))


SCANS: dict[str, ScanMaker] = {"raster": raster, "spiral": spiral, "random": random}
