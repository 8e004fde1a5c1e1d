"""One step's worth of patterns, and where they lie on the canvas that they share."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import Placement


@dataclass(frozen=True)
class Batch:
    """Measured counts (patch, y, x) and the placement of the patches: regions lie below each other, apart."""

    counts: Float32[Tensor, "patch y x"]
    placement: Placement


def stack_regions(positions: Float64[Tensor, "region member 2"], size: int) -> Placement:
    """Return the placement of regions of overlapping patches, one below the other on one canvas.

    Members of one region share its pixels; two regions share none.
    """
    whole = positions.floor()
    corners = whole.long() - size // 2
    corners = corners - corners.amin(dim=1, keepdim=True)
    height, width = (corners.amax(dim=(0, 1)) + size).tolist()
    corners[..., 0] += height * torch.arange(len(corners), device=corners.device)[:, None]
    remainder = (positions - whole).to(torch.float32).flatten(0, 1)
    return Placement(corners.flatten(0, 1), remainder, (height * len(positions), width), size)


def gather(scan: Scan, groups: Int64[Tensor, "region member"]) -> Batch:
    """Return the batch of the patterns that ``groups`` names."""
    return Batch(scan.counts(groups.reshape(-1)), stack_regions(scan.positions[groups], scan.size))
