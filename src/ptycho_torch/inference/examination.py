"""What the frames of one half of a scan say of an object that was solved from the other half."""

import torch
from jaxtyping import Complex64
from torch import Tensor

from ptycho.metrics.deviation import Examined
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.limit import Fields, Fisher

# Counts that are added to the expected ones in the weight of a detector pixel.
EXTRA = 1.0
# Steps towards the solution, and their length: what takes longer to converge is mostly noise.
STEPS, LENGTH = 3, 0.7


@torch.no_grad()
def examine(
    likelihood: Likelihood,
    at: Estimate,
    difference: Complex64[Tensor, "height width"],
    generator: torch.Generator,
) -> Examined:
    """Hold an object against counts that had no part in it.

    Parameters
    ----------
    likelihood
        Of the frames of one half.
    at
        What was solved from the other half.
    difference
        What another solution differs by, in the phase of the object: real part of the amplitudes, imaginary part of
        the phases times the amplitude.
    generator
        Draws the noise that is taken away.
    """
    fisher = Fisher(likelihood, at, extra=EXTRA)
    turn = torch.sgn(at.object_)
    right = torch.cat([*fisher.residuals(generator), fisher((difference * turn)[None])])
    return Examined(*(_filtered(fisher, right) * turn.conj()).cpu().numpy())


def _filtered(fisher: Fisher, right: Fields) -> Fields:
    """Return some steps of x <- x + length (b - F x) / stiffness: linear in b, unlike conjugate gradients."""
    found = LENGTH * right / fisher.stiffness
    for _ in range(STEPS - 1):
        found = found + LENGTH * (right - fisher(found)) / fisher.stiffness
    return found
