"""From patterns to the stitched object, in batches."""

import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import Placement, divide, probe_weight, weighted_sums
from ptycho_torch.pinn.pinn import PtychoPINN


@torch.no_grad()
def stitch(
    pinn: PtychoPINN,
    scan: Scan,
    placement: Placement,
    groups: Int64[Tensor, "group member"],
    *,
    batch_size: int,
    flux: float = 1.0,
) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
    """Predict a patch for every member of every group and merge them all on one canvas, weighted by the light.

    Parameters
    ----------
    pinn, scan, placement
        The trained network, the measurement, and where each of its patches lies.
    groups
        Patterns that the network sees together; (pattern, 1) for a network that sees each alone.
    batch_size
        Groups in one pass of the network.
    flux
        Counts of this scan over counts of the training scan.

    Returns
    -------
    object, coverage
        The canvas and the light on it.
    """
    weight = probe_weight(pinn.probe)
    numerator = torch.zeros(placement.object_shape, dtype=torch.complex64, device=weight.device)
    denominator = torch.zeros_like(numerator)
    for some in groups.split(batch_size):
        members = some.reshape(-1)
        patches = pinn.predict(scan.counts(members) / flux)
        part = placement.part(members)
        lit_patches, light = weighted_sums(patches, weight, part.look(), part.place())
        numerator += lit_patches
        denominator += light
    return divide(numerator, denominator)
