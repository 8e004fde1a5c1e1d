"""Poisson likelihood in counts."""

import torch
from jaxtyping import Float
from torch import Tensor

Counts = Float[Tensor, "*batch y x"]

# Expected counts are never below this, so that a count where none was expected costs much and not everything.
FLOOR = 1e-6
# Relative difference of counts up to which the logarithm of their ratio is taken from the difference.
NEAR = 0.5
# Distance from sqrt(n) up to which an expected amplitude is credible after a count of n, sqrt(counts), and the share of
# sqrt(n) that is credible in any case: beyond, n or what is still farther away has a probability of less than 1 in 40.
REACH = 2.2
LEAST = 0.15


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


def tempered_deviance(expected: Counts, measured: Counts) -> Counts:
    """Return the Poisson deviance of every pixel, a parabola of the amplitude where a count is hardly possible.

    With a = sqrt(lambda) and b the nearest amplitude that n makes credible it is
    D(b^2, n) + 4 (b - n / b) (a - b) + 4 (a - b)^2: the deviance D while a = b, which is where an estimate ends, and
    with a continuous slope and the curvature 8 of a bright pixel beyond. There D itself bends so much, the more the
    darker what is expected, that no parabola tells how far to go.
    """
    near = _credible(expected, measured)
    a, b = _amplitude(expected), _amplitude(near)
    return poisson_deviance(near, measured) + 4 * (b - measured / b) * (a - b) + 4 * (a - b).square()


def tempered_slope(expected: Counts, measured: Counts) -> Counts:
    """Return half the derivative of `tempered_deviance` with respect to lambda: 1 - n / lambda while credible."""
    a, b = _amplitude(expected), _amplitude(_credible(expected, measured))
    return ((b - measured / b) + 2 * (a - b)) / a


def _amplitude(expected: Counts) -> Counts:
    return expected.clamp_min(FLOOR).sqrt()


def _credible(expected: Counts, measured: Counts) -> Counts:
    """Return the nearest expected counts that a count makes credible."""
    root = measured.sqrt()
    least = torch.maximum(root - REACH, LEAST * root).square()
    return torch.minimum(torch.maximum(expected, least), (root + REACH).square())
