"""Poisson likelihood in counts."""

import functools
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ptycho_torch.base.kernels import made, may_be_launched

Counts = Float[Tensor, "*batch y x"]

# Expected counts are never below this, so that a count where none was expected costs much and not everything.
FLOOR = 1e-6
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
    log(1 + d), d = (n - lambda) / lambda: n log(n) - n log(lambda) would lose all of it to rounding at many counts.
    """
    known = expected.clamp_min(FLOOR)
    excess = ((measured - known) / known).clamp_min(torch.finfo(known.dtype).eps - 1)
    return 2 * (measured * excess.log1p() - (measured - expected))


def summed_deviance(
    expected: Float[Tensor, "patch y x"], measured: Float[Tensor, "patch y x"], mask: Bool[Tensor, "y x"]
) -> Float[Tensor, ""]:
    """Return the sum of `poisson_deviance` over the pixels of a mask."""
    sums = _sums(expected.device) if expected.dtype == torch.float32 and may_be_launched(expected) else _sum
    return sums(expected, measured, mask)


def _sum(expected: Tensor, measured: Tensor, mask: Tensor) -> Tensor:
    return (poisson_deviance(expected, measured) * mask).sum()


@functools.cache
def _sums(device: torch.device) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def make() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        from ptycho_torch.objectives.kernels import summed_deviance

        return summed_deviance

    counts = torch.ones(1, 8, 8, device=device)
    return made(make, lambda sums: sums(counts, counts, counts[0] > 0), _sum, "deviances have")


def tempered_deviance(expected: Counts, measured: Counts) -> tuple[Counts, Counts]:
    """Return the deviance of every pixel, a parabola where a count is hardly possible, and half its slope in lambda.

    With a = sqrt(lambda) and b the nearest amplitude that n makes credible it is
    D(b^2, n) + 4 (b - n / b) (a - b) + 4 (a - b)^2: the Poisson deviance D while a = b, which is where an estimate
    ends, and beyond it with a continuous slope and the curvature 8 of a bright pixel. There D itself bends so much, the
    more the darker what is expected, that no parabola tells how far to go.
    """
    a, root = expected.clamp_min(FLOOR).sqrt(), measured.sqrt()
    b = torch.minimum(torch.maximum(a, torch.maximum(root - REACH, LEAST * root)), root + REACH)
    near = torch.where(a == b, expected, b.square())
    lean, beyond = b - measured / b, a - b
    return poisson_deviance(near, measured) + 4 * beyond * (lean + beyond), (lean + 2 * beyond) / a
