"""Constants that bring a measurement to the sizes that networks and optimisers like."""

import torch
from jaxtyping import Complex64, Float
from torch import Tensor

from ptycho_torch.physics.modulus import squared_modulus


def probe_to_counts(probe: Complex64[Tensor, "mode y x"], mean_counts: float) -> Complex64[Tensor, "mode y x"]:
    """Return the probe scaled so that sum |P|^2 is the mean counts of a frame: the object then is about 1."""
    return probe * (mean_counts / probe.abs().square().sum()).sqrt()


def input_scale(mean_counts: float, size: int) -> float:
    """Return the factor on sqrt(counts) that gives a mean pattern the energy N^2 / 4 (what the networks see)."""
    return size / 2 / mean_counts**0.5


def input_scales(probe: Complex64[Tensor, "patch mode y x"]) -> Float[Tensor, "patch 1 1"]:
    """Return `input_scale` for every patch, whose probe carries the mean counts of its scan."""
    mean_counts = squared_modulus(probe).sum(dim=(1, 2, 3))[:, None, None]
    return probe.shape[-1] / 2 / mean_counts.sqrt()


def flux_sums(measured: Float[Tensor, "..."], expected: Float[Tensor, "..."]) -> Float[Tensor, "2"]:
    """Return the sums of counts measured and expected, in double precision, ready to be added over batches."""
    return torch.stack([measured.sum(dtype=torch.float64), expected.sum(dtype=torch.float64)])


def flux_ratio(sums: Float[Tensor, "2"]) -> float:
    """Return c = sum n / sum lambda, the scale for which c lambda is most likely; 1 without light.

    From d/dc sum(c lambda - n log(c lambda)) = 0: the scale is projected out (variable projection,
    DOI 10.1137/0710036).
    """
    measured, expected = sums.tolist()
    return measured / expected if measured > 0 and expected > 0 else 1.0
