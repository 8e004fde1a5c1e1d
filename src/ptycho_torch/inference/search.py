"""Positions that are pixels away from where the scan says: found by trying."""

import itertools
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from ptycho.config.refinement import Refinement
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood

# How far a position may move from where the scan says, px in y and in x.
FARTHEST = 8.0
# Fall of a frame's deviance that noise alone reaches in 3 of 1000 frames, two values being free.
SIGNIFICANT = 11.8


@dataclass(frozen=True)
class Tries:
    """A square of (2 steps + 1)^2 places around a position, ``length`` px from each other."""

    steps: int
    length: float


def margin(refinement: Refinement) -> int:
    """Return how much wider than its patches a canvas must be on every side, px."""
    return 0 if refinement.positions is None else int(FARTHEST) + 1


def search(likelihood: Likelihood, at: Estimate, home: Float64[Tensor, "frame 2"], tries: Tries) -> Estimate:
    """Move every frame to the best of some places around it, the rest of the estimate held fixed.

    A frame moves only where that explains it significantly better.

    Parameters
    ----------
    home
        Positions that none may leave by more than `FARTHEST`, px on the canvas.
    tries
        The places.
    """
    here = at.positions
    assert here is not None
    frames = likelihood.frames
    best = likelihood.recut(here).frame_deviances(at) - SIGNIFICANT
    found = here.clone()
    for y, x in itertools.product(range(-tries.steps, tries.steps + 1), repeat=2):
        trial = here + tries.length * torch.tensor([y, x], dtype=here.dtype, device=here.device)
        trial = within(trial, home)
        deviance = likelihood.recut(trial).frame_deviances(replace(at, positions=trial))
        better = deviance < best
        best = torch.where(better, deviance, best)
        found[frames[better]] = trial[frames[better]]
    return replace(at, positions=found)


def within(positions: Float64[Tensor, "frame 2"], home: Float64[Tensor, "frame 2"]) -> Float64[Tensor, "frame 2"]:
    """Return positions, none farther from home than allowed."""
    return torch.minimum(torch.maximum(positions, home - FARTHEST), home + FARTHEST)
