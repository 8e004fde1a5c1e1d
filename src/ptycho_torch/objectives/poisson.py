"""Poisson likelihood in counts."""

import torch
from jaxtyping import Float
from torch import Tensor

Counts = Float[Tensor, "*batch y x"]

# Expected counts are never below this, so that a count where none was expected costs much and not everything.
FLOOR = 1e-6
# Relative difference of counts up to which the logarithm of their ratio is taken from the difference.
NEAR = 0.5


def poisson_nll(expected: Counts, measured: Counts) -> Counts:
    """Return lambda - n log(lambda) for every pixel: the negative log likelihood without the constant log(n!)."""
    return expected - measured * expected.clamp_min(FLOOR).log()


def poisson_deviance(expected: Counts, measured: Counts) -> Counts:
    """Return 2 [n log(n / lambda) - (n - lambda)] for every pixel, counts >= 0.

    Twice the negative log likelihood above that of a perfect model; about 1 a pixel for the true object. From
    log(1 + d), d = (n - lambda) / lambda, where the two are near: n log(n) - n log(lambda) would lose all of it to
    rounding at many counts.
    """
    known = expected.clamp_min(FLOOR)
    excess = (measured - known) / known
    far = (measured / known).clamp_min(torch.finfo(known.dtype).tiny).log()
    log_ratio = torch.where(excess.abs() < NEAR, excess.clamp(-NEAR, NEAR).log1p(), far)
    return 2 * (measured * log_ratio - (measured - expected))
