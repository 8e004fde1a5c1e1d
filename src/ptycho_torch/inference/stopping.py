"""When iterations only fit noise, and whether they made an estimate better: decided by counts that they don't see."""

import torch
from jaxtyping import Float
from torch import Tensor

from ptycho_torch.processes.world import ALONE, World

# Iterates in a row that must be worse than the best one before the iterations end.
PATIENCE = 3
# Standard errors by which a mean difference must be worse to bring the end nearer.
CLEARLY = 2.0


class Stopping:
    """Ends iterations when held-out pixels say that they only fit noise.

    Deviances of the same pixels under two estimates differ by much less than those of two pixels: the standard error
    of the mean difference, pixel by pixel, tells what a difference means long before that of each mean does.

    Parameters
    ----------
    start
        Deviance of every held-out pixel at the start.
    world
        The processes that share the pixels: each tells those of its own frames.
    """

    def __init__(self, start: Float[Tensor, " pixel"], world: World = ALONE) -> None:
        self._best = start
        self._world = world
        self._worse = 0

    def is_as_good(self, deviance: Float[Tensor, " pixel"]) -> bool:
        """Return whether an estimate is as good as the best so far, within the error of their difference.

        Of two that are the later counts: it is nearer to convergence where these pixels do not look.

        Parameters
        ----------
        deviance
            Deviance of every held-out pixel under the estimate.
        """
        if len(deviance) != len(self._best):
            # Iterations that no pixel judges begin or end here: there is nothing to compare with.
            self._best = deviance
        gain, error = paired(self._best, deviance, self._world)
        self._best = deviance if gain >= 0 else self._best
        self._worse = self._worse + 1 if gain < -CLEARLY * error else 0
        return gain >= -error

    def wait(self) -> None:
        """Count anew: something else is free to change now."""
        self._worse = 0

    @property
    def ended(self) -> bool:
        """Whether so many estimates in a row were clearly worse than the best one that more are in vain."""
        return self._worse >= PATIENCE


def paired(before: Float[Tensor, " case"], after: Float[Tensor, " case"], world: World = ALONE) -> tuple[float, float]:
    """Return by how much ``after`` is lower in the mean, and the standard error of that; zeros without cases.

    Where ``world`` has several processes each gives some of the cases.
    """
    if world.size == 1 and not len(before):
        return 0.0, 0.0
    gain = (before - after).double()
    sums = torch.stack([torch.ones_like(gain).sum(), gain.sum(), gain.square().sum()])
    n, total, squares = world.sum(sums).tolist()
    if not n:
        return 0.0, 0.0
    # Of single-precision numbers, squared in double precision, the difference is no rounding.
    spread = max(squares - total**2 / n, 0.0)
    return total / n, (spread / max(n - 1, 1) / n) ** 0.5
