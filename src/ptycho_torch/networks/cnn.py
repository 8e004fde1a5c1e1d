"""The existing encoder with two decoders, for those who want the network that the interface names."""

import math
from itertools import pairwise

import torch
from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.nn import functional

from ptycho.base.errors import ConfigError
from ptycho_torch.networks.heads import AMPLITUDE_ACTIVATIONS, polar, weighted

# First and last encoder width per unit of the filter scale, by pattern size (the last is always 128).
ENCODER_WIDTHS = {64: (32, 64, 128), 128: (16, 32, 64, 128), 256: (8, 16, 32, 64, 128)}
DECODER_WIDTHS = {64: (64, 32), 128: (128, 64, 32), 256: (256, 128, 64, 32)}
# Channels of the decoder that speak of the border outside the central half of a patch.
BORDER_CHANNELS = 4


def _two_convolutions(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width_out, width_out, 3, padding=1),
        nn.ReLU(),
    )


def _up(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(*_two_convolutions(width_in, width_out), nn.Upsample(scale_factor=2))


class Decoder(nn.Module):
    """One real image per channel: the central N/2 window from most features, the border from the last four."""

    def __init__(self, size: int, channels: int, scale: int, *, pad_object: bool, border: bool) -> None:
        super().__init__()
        widths = [128 * scale, *(w * scale for w in DECODER_WIDTHS[size])]
        self.blocks = nn.Sequential(*(_up(a, b) for a, b in pairwise(widths)))
        up_width = 2048 // size * scale
        self.margin = size // 4
        self.pad_object = pad_object
        self.centre: nn.Module
        if not pad_object:
            self.centre = nn.Sequential(_up(widths[-1], up_width), nn.Conv2d(up_width, channels, 3, padding=1))
            border = False
        else:
            self.centre = nn.Conv2d(widths[-1] - BORDER_CHANNELS, channels, 3, padding=1)
        self.border = (
            nn.Sequential(_up(BORDER_CHANNELS, up_width), nn.Conv2d(up_width, channels, 3, padding=1))
            if border
            else None
        )

    def forward(
        self, features: Float[Tensor, "batch feature a b"]
    ) -> tuple[Float[Tensor, "batch channel window_y window_x"], Float[Tensor, "batch channel y x"] | None]:
        """Return the logits of the image (central window or whole) and those of the border, None without one."""
        features = self.blocks(features)
        if not self.pad_object:
            return self.centre(features), None
        border = None if self.border is None else self.border(features[:, -BORDER_CHANNELS:])
        return self.centre(features[:, :-BORDER_CHANNELS]), border

    def compose(self, centre: Tensor, border: Tensor | None) -> Tensor:
        """Lay the activated centre into the border (zeros without one)."""
        if not self.pad_object:
            return centre
        padded = functional.pad(centre, (self.margin,) * 4)
        if border is None:
            return padded
        inside = functional.pad(torch.ones_like(centre), (self.margin,) * 4)
        return padded + border * (1 - inside)


class Cnn(nn.Module):
    """Amplitudes (batch, channel, N, N) to complex patches of the same shape.

    Convolutions 3 x 3 with ReLU in pairs, max-pooling down, nearest up-sampling back, one decoder for the amplitude and
    one for the phase (pi tanh), no skips.

    Parameters
    ----------
    size
        Side N of a pattern: 64, 128 or 256 px.
    channels
        Patterns that the network sees at once (gridsize^2).
    scale
        Multiplier of every width.
    amplitude_activation
        "sigmoid", "swish", "softplus" or "relu".
    pad_object, border
        Decode the central N/2 window only, and let four channels speak of the border around it.

    Raises
    ------
    ConfigError
        The size is another one.
    """

    def __init__(
        self,
        size: int,
        channels: int = 1,
        scale: int = 2,
        amplitude_activation: str = "sigmoid",
        *,
        pad_object: bool = True,
        border: bool = True,
    ) -> None:
        super().__init__()
        if size not in ENCODER_WIDTHS:
            raise ConfigError(
                f"N is {size}; the cnn network expects 64, 128 or 256; choose the lean architecture, or crop "
                "or pad the patterns"
            )
        widths = [channels, *(w * scale for w in ENCODER_WIDTHS[size])]
        self.encoder = nn.Sequential(
            *(nn.Sequential(_two_convolutions(a, b), nn.MaxPool2d(2)) for a, b in pairwise(widths))
        )
        self.amplitude = Decoder(size, channels, scale, pad_object=pad_object, border=border)
        self.phase = Decoder(size, channels, scale, pad_object=pad_object, border=border)
        self.activation = AMPLITUDE_ACTIVATIONS[amplitude_activation]

    def forward(self, amplitude: Float[Tensor, "batch channel y x"]) -> Complex64[Tensor, "batch channel y x"]:
        """Return one complex patch for every pattern."""
        return polar(*self.amplitude_and_phase(amplitude))

    def said(self, amplitude: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch two_channels y x"]:
        """Return amplitudes and then phases of the patches: what is real arithmetic."""
        return torch.cat(self.amplitude_and_phase(amplitude), dim=1)

    def patches(
        self, said: Float[Tensor, "batch two_channels y x"], weight: Float[Tensor, "*patch y x"] | None = None
    ) -> Complex64[Tensor, "batch channel y x"]:
        """Return the complex patches of what was said, weighted where there are weights."""
        return weighted(polar(*said.chunk(2, dim=1)), weight)

    def amplitude_and_phase(
        self, amplitude: Float[Tensor, "batch channel y x"]
    ) -> tuple[Float[Tensor, "batch channel y x"], Float[Tensor, "batch channel y x"]]:
        """Return amplitude and phase (rad) of the patches."""
        features = self.encoder(amplitude)
        centre, border = self.amplitude(features)
        modulus = self.amplitude.compose(self.activation(centre), None if border is None else functional.silu(border))
        centre, border = self.phase(features)
        angle = self.phase.compose(math.pi * torch.tanh(centre), None if border is None else functional.silu(border))
        return modulus, angle
