"""From real channels to complex patches."""

import functools
import math
from collections.abc import Callable

import torch
from jaxtyping import Complex64, Float
from torch import Tensor
from torch.nn import functional

from ptycho_torch.base.kernels import made, may_be_launched

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


def patches_of(
    squares: Float[Tensor, "batch eight_channels half_y half_x"], weight: Float[Tensor, "*patch y x"] | None = None
) -> Complex64[Tensor, "batch channel y x"]:
    """Return the patches of `amplitude_and_phase`, for logits whose squares of 2 x 2 pixels are channels.

    They are weighted, each patch by its own weight or all by one.
    """
    return (_by_kernels(squares.device) if may_be_launched(squares) else _plainly)(squares, weight)


def weighted(
    patches: Complex64[Tensor, "batch channel y x"], weight: Float[Tensor, "*patch y x"] | None
) -> Complex64[Tensor, "batch channel y x"]:
    """Return patches times a weight, or times those of each, where there is any."""
    return patches if weight is None else patches * (weight if weight.ndim == 2 else weight.view(patches.shape))


def _plainly(squares: Tensor, weight: Tensor | None) -> Tensor:
    return weighted(polar(*amplitude_and_phase(functional.pixel_shuffle(squares, 2))), weight)


@functools.cache
def _by_kernels(device: torch.device) -> Callable[[Tensor, Tensor | None], Tensor]:
    def make() -> Callable[[Tensor, Tensor | None], Tensor]:
        from ptycho_torch.networks.head_kernels import patches_of

        return patches_of

    squares = torch.zeros(1, 8, 4, 4, device=device)
    return made(make, lambda patches: patches(squares, None), _plainly, "patches of the network have")
