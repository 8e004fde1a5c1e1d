"""Names of networks; a new one is a new line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ptycho_torch.networks.cnn import Cnn
from ptycho_torch.networks.lean import Lean
from ptycho_torch.networks.unet import level_widths
from ptycho_torch.networks.unrolled import Unrolled


@dataclass(frozen=True)
class NetworkChoices:
    """What a network may be told: plain values, each read by the networks that it concerns."""

    size: int
    channels: int = 1
    lean_width: int = 32
    lean_levels: str = "slim"
    filter_scale: int = 2
    amplitude_activation: str = "sigmoid"
    pad_object: bool = True
    border: bool = True


@dataclass(frozen=True)
class Kind:
    """How a network is made, and what it looks at.

    "amplitude": (batch, channel, y, x), normalised amplitudes. "back projection": (batch, 2 channel, y, x), real and
    imaginary parts of the residual of a transparent object, brought back to the sample. "residual": (batch, 8, y, x),
    an estimate of one patch, the steps that patterns ask for, and the light, see `Unrolled`.
    """

    make: Callable[[NetworkChoices], nn.Module]
    looks_at: Literal["amplitude", "back projection", "residual"]


def _lean(choices: NetworkChoices) -> nn.Module:
    return Lean(choices.size, choices.channels, level_widths(choices.lean_width, choices.lean_levels))


def _unrolled(choices: NetworkChoices) -> nn.Module:
    return Unrolled(choices.size, level_widths(choices.lean_width, choices.lean_levels))


def _cnn(choices: NetworkChoices) -> nn.Module:
    return Cnn(
        choices.size,
        choices.channels,
        choices.filter_scale,
        choices.amplitude_activation,
        pad_object=choices.pad_object,
        border=choices.border,
    )


NETWORKS: dict[str, Kind] = {
    "lean": Kind(_lean, "back projection"),
    "unrolled": Kind(_unrolled, "residual"),
    "cnn": Kind(_cnn, "amplitude"),
}
