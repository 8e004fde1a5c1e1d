"""The network of an older archive in our words: its choices, and its convolutions as weights of our ``cnn``."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn

from ptycho.base.errors import BundleError
from ptycho.config.model import ModelConfig
from ptycho_torch.networks.cnn import ENCODER_WIDTHS
from ptycho_torch.networks.registry import NETWORKS, NetworkChoices

# Bytes that the weights of an archive may have when unpacked.
LARGEST = 1 << 30
TRAIN_AGAIN = "train again with `ptycho train SCAN --output_dir RUN`"
ADVICE = "give the wts.h5.zip that the older software wrote"
# Words of older archives for the activation of the amplitude -> ours.


@dataclass(frozen=True, eq=False)
class Convolution:
    """One 3 x 3 convolution: its name in the archive, its kernel (out, in, y, x) and its bias (out,)."""

    name: str
    kernel: Tensor
    bias: Tensor

    @property
    def channels_in(self) -> int:
        """Channels that it reads."""
        return self.kernel.shape[1]

    @property
    def channels_out(self) -> int:
        """Channels that it writes."""
        return self.kernel.shape[0]

    def __str__(self) -> str:
        """Name the layer with what its numbers of channels are."""
        return f"{self.name} ({self.channels_in} to {self.channels_out} channels)"


@dataclass(frozen=True)
class Layout:
    """What the number and the widths of its convolutions say of a network.

    Attributes
    ----------
    size, channels, scale
        Side N of a pattern (px), patterns that the network sees at once, multiplier of every width.
    """

    size: int
    channels: int
    scale: int

    @staticmethod
    def of(size: int, first: Convolution, where: str) -> "Layout":
        """Read the layout off the first convolution of the encoder.

        Raises
        ------
        BundleError
            Its widths are none of this network.
        """
        scale, rest = divmod(first.channels_out, ENCODER_WIDTHS[size][0])
        channels = first.channels_in
        if rest or not scale or not channels or isqrt(channels) ** 2 != channels:
            raise BundleError(
                f"{where}: the first layer is {first}; for patterns of {size} px expected gridsize^2 channels to a "
                f"multiple of {ENCODER_WIDTHS[size][0]}; {TRAIN_AGAIN}"
            )
        return Layout(size, channels, scale)

    def model(self, *, pad_object: bool, border: bool) -> ModelConfig:
        """Return the choices that build this network."""
        return ModelConfig(
            N=self.size,
            gridsize=isqrt(self.channels),
            n_filters_scale=self.scale,
            architecture="cnn",
            probe_big=border or not pad_object,
            pad_object=pad_object,
        )


@dataclass(frozen=True)
class OlderNetwork:
    """A network that was read from an older archive.

    Attributes
    ----------
    model
        Choices that build it; ``amp_activation`` counts only where ``activation`` is None.
    weights
        State of our network of these choices.
    activation
        Activation of the amplitude as the archive states it; None where it doesn't.
    intensity_scale
        sqrt(counts) over normalised amplitude in its training, None where the archive doesn't say it.
    left
        What the archive holds, or should, and could not be carried over, each in a few words.
    """

    model: ModelConfig
    weights: dict[str, Tensor]
    activation: str | None
    intensity_scale: float | None
    left: tuple[str, ...]


def cnn_weights(convolutions: Sequence[Convolution], model: ModelConfig, where: str) -> dict[str, Tensor]:
    """Return convolutions, in the order of our ``cnn`` network, as its state.

    That order is the encoder, then for the amplitude and for the phase: the decoder, the centre, the border.

    Raises
    ------
    BundleError
        One has another shape than the network's, or holds NaN or infinity.
    """
    choices = NetworkChoices(
        model.N,
        model.gridsize**2,
        filter_scale=model.n_filters_scale,
        pad_object=model.pad_object,
        border=model.probe_big,
    )
    with torch.device("meta"):
        blank = NETWORKS["cnn"].make(choices)
    ours = [(name, module) for name, module in blank.named_modules() if isinstance(module, nn.Conv2d)]
    state = {}
    for (name, module), theirs in zip(ours, convolutions, strict=True):
        for part, found in (("weight", theirs.kernel), ("bias", theirs.bias)):
            expected = getattr(module, part).shape
            if found.shape != expected:
                raise BundleError(
                    f"{where}: the {part} of {theirs.name} has shape {tuple(found.shape)}; expected {tuple(expected)}, "
                    f"as {name} of a cnn network for N {model.N}, gridsize {model.gridsize} and n_filters_scale "
                    f"{model.n_filters_scale} has; {TRAIN_AGAIN}"
                )
            if not found.isfinite().all():
                raise BundleError(
                    f"{where}: the {part} of {theirs.name} holds NaN or infinity; expected finite weights; give "
                    f"another archive, or {TRAIN_AGAIN}"
                )
            state[f"{name}.{part}"] = found.to(torch.float32).contiguous()
    return state
