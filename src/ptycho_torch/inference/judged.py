"""What the counts say of fields on the detector: one pass over the pixels, in real arithmetic alone."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from ptycho_torch.inference.captured import compiled
from ptycho_torch.objectives.poisson import FLOOR, poisson_deviance, tempered_deviance
from ptycho_torch.physics.modulus import over_modes

# Pixels, times the iterations over them, from which this page is compiled for a GPU: a guess that nothing has measured.
COMPILED_FROM = 2**36

Counts = Float32[Tensor, "frame y x"]
Parts = Float32[Tensor, "frame mode y x 2"]
Told = tuple[Float64[Tensor, "4"], Counts, Counts]


def judged(
    field: Parts,
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
    expected = _expected(field, haze) * mask
    deviance = poisson_deviance(expected, measured)
    tempered, residual = (part * used for part in tempered_deviance(expected, measured))
    root = measured.sqrt()
    parts = (deviance * used, (expected.sqrt() - root).abs(), root, tempered)
    return torch.stack([part.sum(dtype=torch.float64) for part in parts]), deviance, residual


def bent(
    field: Parts,
    change: Parts,
    haze: Float32[Tensor, ""],
    haze_change: Float32[Tensor, ""],
    used: Counts,
) -> Float64[Tensor, ""]:
    """Return the Fisher curvature sum (d lambda)^2 / lambda of fields that change, over the pixels that take part.

    Parameters
    ----------
    field, change
        Real and imaginary parts of the fields, and of their change to first order, sqrt(counts).
    haze, haze_change
        Counts without the sample, and how they change.
    used
        1 where a pixel takes part, 0 elsewhere.
    """
    change_in_counts = 2 * over_modes(field[..., 0] * change[..., 0] + field[..., 1] * change[..., 1]) + haze_change
    return (used * change_in_counts.square() / _expected(field, haze).clamp_min(FLOOR)).sum(dtype=torch.float64)


def _expected(field: Parts, haze: Tensor) -> Counts:
    return over_modes(field[..., 0].square() + field[..., 1].square()) + haze


@dataclass(frozen=True)
class Pages:
    """What is computed of every pixel: `judged` and `bent`, or what stands in for them."""

    judged: Callable[[Parts, Tensor, Counts, Tensor, Counts], Told]
    bent: Callable[[Parts, Parts, Tensor, Tensor, Counts], Tensor]


PLAIN = Pages(judged, bent)


@functools.cache
def fast_pages() -> Pages:
    """Return both as one kernel each, for chunks of any length; compiled once in a process."""
    return Pages(*(compiled(page, "the likelihood", dynamic=True) for page in (judged, bent)))
