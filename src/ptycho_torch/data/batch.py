"""One step's worth of patterns, and where they were taken."""

from dataclasses import dataclass

from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan


@dataclass(frozen=True)
class Batch:
    """Measured counts (patch, y, x), and positions (region, member, 2) (y, x) px; members of a region overlap.

    ``mask`` (y, x) says which pixels of the detector can be trusted; all when None.
    """

    counts: Float32[Tensor, "patch y x"]
    positions: Float64[Tensor, "region member 2"]
    mask: Bool[Tensor, "y x"] | None = None


def gather(scan: Scan, groups: Int64[Tensor, "region member"]) -> Batch:
    """Return the batch of the patterns that ``groups`` names."""
    return Batch(scan.counts(groups.reshape(-1)), scan.positions[groups], scan.mask)
