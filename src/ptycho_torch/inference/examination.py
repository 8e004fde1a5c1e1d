"""What the frames of one half of a scan say of an object that was solved from the other half."""

import torch
from jaxtyping import Complex64
from torch import Tensor

from ptycho.metrics.deviation import Examined
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.limit import Fields, Fisher, inner

# Counts that are added to the expected ones in the weight of a detector pixel.
EXTRA = 1.0
# Steps towards the solution end where what is found, of amplitudes and of phases, is less than so many times its noise.
LEAST_SIGNAL, MOST_STEPS = 1.4, 20


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
    return Examined(*(_towards_solution(fisher, right, turn) * turn.conj()).cpu().numpy())


def _towards_solution(fisher: Fisher, right: Fields, turn: Complex64[Tensor, "height width"]) -> Fields:
    """Return what some steps of conjugate gradients for the first right side make of all: one polynomial of F.

    The first is what the counts find, the second its noise. Steps undo F first where the scan knows most, and end
    before noise is all that they magnify.
    """
    found, rest = torch.zeros_like(right), right
    direction = ready = rest / fisher.stiffness
    square = inner(rest, ready)[0]
    for _ in range(MOST_STEPS):
        image = fisher(direction)
        length = square / inner(direction, image)[0]
        found, rest = found + length * direction, rest - length * image
        signal, noise = (torch.view_as_real(part * turn.conj()).square() for part in found[:2])
        power = [(part * fisher.light[..., None]).sum(dim=(0, 1)) for part in (signal, noise)]
        if bool((power[0] < LEAST_SIGNAL * power[1]).all()):
            break
        ready = rest / fisher.stiffness
        before, square = square, inner(rest, ready)[0]
        direction = ready + square / before * direction
    return found
