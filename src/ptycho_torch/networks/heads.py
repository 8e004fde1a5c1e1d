"""From real channels to complex patches."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex64, Float
from torch import Tensor
from torch.nn import functional

AMPLITUDE_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "swish": functional.silu,
    "softplus": functional.softplus,
    "relu": functional.relu,
}
# softplus(UNIT) = 1: a network that says nothing says transparent.
UNIT = math.log(math.e - 1)


def polar(
    amplitude: Float[Tensor, "*batch y x"], phase: Float[Tensor, "*batch y x"]
) -> Complex64[Tensor, "*batch y x"]:
    """Return amplitude * exp(i phase) in single precision, whatever precision the network ran in."""
    return torch.polar(amplitude.float(), phase.float())


def amplitude_and_phase(
    logits: Float[Tensor, "batch two_channels y x"],
) -> tuple[Float[Tensor, "batch channel y x"], Float[Tensor, "batch channel y x"]]:
    """Return patches from two real channels each: amplitude softplus(a + UNIT) in (0, inf), phase pi p in rad.

    Zero logits are a transparent patch. The phase is unbounded: any value, also pi, is an ordinary one.
    """
    amplitude, phase = logits.float().chunk(2, dim=1)
    return functional.softplus(amplitude + UNIT), math.pi * phase
