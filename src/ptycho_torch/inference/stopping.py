"""When iterations only fit noise, and whether they made an estimate better: decided by counts that they don't see."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.objectives.poisson import poisson_deviance
from ptycho_torch.physics.forward import Placement

# Iterates in a row that must be worse than the best one before the iterations end.
PATIENCE = 3


class Stopping:
    """Ends iterations when held-out pixels say that they only fit noise.

    Deviances of the same pixels under two estimates differ by much less than those of two pixels: the standard error
    of the mean difference, pixel by pixel, tells what a difference means long before that of each mean does.

    Parameters
    ----------
    start
        Deviance of every held-out pixel at the start.
    """

    def __init__(self, start: Float[Tensor, " pixel"]) -> None:
        self._best = start
        self._worse = 0

    def is_best(self, deviance: Float[Tensor, " pixel"]) -> bool:
        """Return whether an estimate is the best so far, from the deviance of every held-out pixel under it."""
        gain, error = paired(self._best, deviance)
        if gain >= 0:
            self._best, self._worse = deviance, 0
            return True
        self._worse = self._worse + 1 if gain < -error else 0
        return False

    def wait(self) -> None:
        """Count anew: something else is free to change now."""
        self._worse = 0

    @property
    def ended(self) -> bool:
        """Whether so many estimates in a row were clearly worse than the best one that more are in vain."""
        return self._worse >= PATIENCE


def paired(before: Float[Tensor, " case"], after: Float[Tensor, " case"]) -> tuple[float, float]:
    """Return by how much ``after`` is lower in the mean, and the standard error of that; zeros without cases."""
    n = len(before)
    if n < 2:  # noqa: PLR2004  # one difference has no spread
        return 0.0, 0.0
    gain = (before - after).double()
    return float(gain.mean()), float(gain.std()) / n**0.5


@torch.no_grad()
def frame_deviance(
    at: Estimate, scan: Scan, placement: Placement, frames: Int64[Tensor, " frame"], share: float
) -> Float64[Tensor, " frame"]:
    """Return the deviance of every frame of a scan that has so large a share of the counts that are expected."""
    likelihood = Likelihood(scan, placement, held_out_fraction=0.0, free=(), frames=frames)
    return torch.cat(
        [
            poisson_deviance(share * likelihood.expected(at, field) * scan.mask, scan.counts(chunk.frames)).sum(
                (1, 2), dtype=torch.float64
            )
            for chunk, _, _, field in likelihood.fields(at)
        ]
    )
