"""Groups of overlapping positions."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float64, Int64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.arrays import Positions


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of positions, by index: patterns are stored once and looked up, never copied per group.

    Attributes
    ----------
    indices
        (group, member) int64, into ``positions``; the seed of a group is its first member.
    positions
        (position, 2), (y, x) px: all positions of the scan.
    """

    indices: Int64[ndarray, "group member"]
    positions: Positions

    @property
    def centre(self) -> Float64[ndarray, "group 2"]:
        """Mean position of every group, (y, x) px."""
        mean: NDArray[Any] = self.positions[self.indices].mean(axis=1)
        return mean

    @property
    def relative(self) -> Float64[ndarray, "group member 2"]:
        """Position of every member minus the centre of its group, (y, x) px."""
        offsets: NDArray[Any] = self.positions[self.indices] - self.centre[:, None]
        return offsets
