"""What the counts say of fields on the detector: one pass over the pixels, in real arithmetic alone."""

import functools
from collections.abc import Callable

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from ptycho_torch.inference.captured import compiled
from ptycho_torch.objectives.poisson import poisson_deviance, tempered_deviance

# Pixels, times the iterations over them, from which a GPU gains more than it takes to compile this page for it.
COMPILED_FROM = 2**36

Counts = Float32[Tensor, "frame y x"]
Told = tuple[Float64[Tensor, "4"], Counts, Counts]
# Fields, counts without the sample, counts, trusted pixels, pixels that take part -> sums, deviance, residual.
Judge = Callable[[Float32[Tensor, "frame mode y x 2"], Tensor, Counts, Tensor, Counts], Told]


def judged(
    field: Float32[Tensor, "frame mode y x 2"],
    haze: Float32[Tensor, ""],
    measured: Counts,
    mask: Float32[Tensor, "y x"],
    used: Counts,
) -> Told:
    """Judge fields by the counts that were measured.

    Parameters
    ----------
    field
        Real and imaginary parts, sqrt(counts).
    haze
        Counts that every pixel gets without the sample.
    measured
        Counts, 0 where the detector can't be trusted.
    mask, used
        1 where the detector can be trusted, and where a pixel takes part; 0 elsewhere.

    Returns
    -------
    sums, deviance, residual
        Deviance of the pixels that take part, sum |sqrt(lambda) - sqrt(n)|, sum sqrt(n), and the tempered deviance
        (`ptycho_torch.objectives.poisson.tempered_deviance`); the deviance of every pixel; half the slope of the
        tempered deviance in the expected counts.
    """
    expected = ((field[..., 0].square() + field[..., 1].square()).sum(dim=1) + haze) * mask
    deviance = poisson_deviance(expected, measured)
    tempered, residual = (part * used for part in tempered_deviance(expected, measured))
    root = measured.sqrt()
    parts = (deviance * used, (expected.sqrt() - root).abs(), root, tempered)
    return torch.stack([part.sum(dtype=torch.float64) for part in parts]), deviance, residual


@functools.cache
def fast_judge() -> Judge:
    """Return `judged` as one kernel, for chunks of any length; compiled once in a process."""
    return compiled(judged, "the likelihood", dynamic=True)
