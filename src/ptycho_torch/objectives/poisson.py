"""Poisson likelihood in counts."""

import torch
from jaxtyping import Float
from torch import Tensor

Counts = Float[Tensor, "*batch y x"]

# Expected counts are never below this, so that a count where none was expected costs much and not everything.
FLOOR = 1e-6


def poisson_nll(expected: Counts, measured: Counts) -> Counts:
    """Return lambda - n log(lambda) for every pixel: the negative log likelihood without the constant log(n!)."""
    return expected - measured * expected.clamp_min(FLOOR).log()


def poisson_deviance(expected: Counts, measured: Counts) -> Counts:
    """Return 2 [n log(n / lambda) - (n - lambda)] for every pixel, counts >= 0.

    Twice the negative log likelihood above that of a perfect model; about 1 a pixel for the true object.
    """
    ratio = torch.special.xlogy(measured, measured) - torch.special.xlogy(measured, expected.clamp_min(FLOOR))
    return 2 * (ratio - (measured - expected))
