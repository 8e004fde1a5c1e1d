"""Which pixel of a patch a scan position names: index N // 2 here, the middle (N - 1) / 2 in Ptychodus."""

from typing import Any

from numpy.typing import NDArray

from ptycho.base.arrays import Positions
from ptycho.optics.intensity import CountRule


def names_the_middle(probe: NDArray[Any], rule: CountRule | None) -> bool:
    """Say whether the positions beside a probe name the middle of a patch, between its two central pixels.

    Ptychodus counts from the middle and gives its probes as (mode, N, N), in memory and in the files it exports,
    without a statement of what the patterns hold; scans written here state that, older scripts give a probe (N, N).
    """
    return rule is None and probe.ndim == 3 and probe.shape[1] == probe.shape[2] > 1


def from_middle(positions: Positions, size: int) -> Positions:
    """Return positions that name index N // 2 of a patch, from positions that name its middle (N - 1) / 2.

    For even N these are half a pixel apart: an object reconstructed without this lies half a pixel off.
    """
    return positions + (size // 2 - (size - 1) / 2)
