"""What a simulated scan was made from: where limits and likelihood solutions begin."""

import torch
from jaxtyping import Int64
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.errors import DataError
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.physics.forward import Placement, place_on_canvas
from ptycho_torch.pinn.labels import CutLabels


def true_estimate(
    acquisition: Acquisition, device: torch.device
) -> tuple[Scan, Placement, Int64[Tensor, "2"], Estimate]:
    """Return a simulated scan on its device, its placement, the origin of its canvas (y, x) px, and what is true.

    Parameters
    ----------
    acquisition
        Its object is the true one, and its probe the true one in sqrt(counts). Where the object ends it is 1.

    Raises
    ------
    DataError
        The scan carries no truth.
    """
    if acquisition.object_ is None:
        raise DataError("the scan carries no true object; expected objectGuess in it; give a simulated scan")
    scan = Scan.of(acquisition, device)
    placement, origin = place_on_canvas(scan.positions, acquisition.size)
    cut = CutLabels.of(acquisition.object_, scan.positions, acquisition.size)
    object_ = torch.where(cut.known, cut.object_, 1)
    return scan, placement, origin, Estimate(object_, torch.as_tensor(acquisition.probe, device=device))
