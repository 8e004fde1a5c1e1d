"""One step's worth of patterns, and where they were taken."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan

Sides = tuple[int, int]


@dataclass(frozen=True)
class Step:
    """The patterns of a step, by index, and the sides (height, width) px of the canvas of each of its regions.

    The sides are known where the step is drawn: a GPU that had to tell them would keep the processor waiting. Without
    them they are read from the positions. ``then`` are the patterns of the next step, which a scan that lies in a file
    reads meanwhile; they stay where the processor sees them.
    """

    groups: Int64[Tensor, "region member"]
    sides: Sides | None = None
    then: Int64[Tensor, " next"] | None = None

    def to(self, device: torch.device) -> "Step":
        """Return it on another device, without waiting for the copy where it comes from page-locked memory."""
        return replace(self, groups=self.groups.to(device, non_blocking=True))

    def pin_memory(self) -> "Step":
        """Return it in page-locked memory; a loader that pins calls this."""
        return replace(self, groups=self.groups.pin_memory())

    def numel(self) -> int:
        """Return the number of patterns."""
        return self.groups.numel()


@dataclass(frozen=True)
class Batch:
    """Measured counts (patch, y, x), and positions (region, member, 2) (y, x) px; members of a region overlap.

    ``mask`` (y, x) says which pixels of the detector can be trusted; all when None. ``sides`` are those of `Step`.
    """

    counts: Float32[Tensor, "patch y x"]
    positions: Float64[Tensor, "region member 2"]
    mask: Bool[Tensor, "y x"] | None = None
    sides: Sides | None = None


def gather(scan: Scan, step: Step) -> Batch:
    """Return the batch of the patterns of a step."""
    return Batch(scan.counts(step.groups.reshape(-1), step.then), scan.positions[step.groups], scan.mask, step.sides)
