"""Pieces that networks are made of."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ptycho_torch.networks.attention import attended
from ptycho_torch.networks.gelu import gelu
from ptycho_torch.networks.three_by_three import ThreeByThree, by_kernels, residual

Features = Float[Tensor, "batch channel y x"]


class ResidualBlock(nn.Module):
    """x + conv(gelu(conv(gelu(x)))); the branch starts at zero, so a new block is the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ThreeByThree(width, width)
        self.second = ThreeByThree(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Features) -> Features:
        """Refine features of one scale; few channels in bfloat16 have kernels on a GPU, for all of it."""
        first, second = self.first, self.second
        if x.dtype == torch.bfloat16 and by_kernels(first, x):
            return residual(x, first.weight, first.bias, second.weight, second.bias)
        return x + second(functional.gelu(first(functional.gelu(x))))


class Upsample(nn.Module):
    """Twice the side: a convolution, of 1 x 1 or 3 x 3, to four times the channels, then pixel shuffle."""

    def __init__(self, width_in: int, width_out: int, kernel: Literal[1, 3] = 1) -> None:
        super().__init__()
        self.spread = ThreeByThree(width_in, 4 * width_out) if kernel == 3 else nn.Conv2d(width_in, 4 * width_out, 1)

    def forward(self, x: Features) -> Float[Tensor, "batch channel_out 2*y 2*x"]:
        """Upsample features."""
        return functional.pixel_shuffle(self.spread(x), 2)


class GlobalMixing(nn.Module):
    """Self-attention over all places, then a two-layer perceptron; both branches start at zero.

    The map from a diffraction pattern to an object is global: every pixel of one speaks of every pixel of the other.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_perceptron = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)
        for last in (self.project, self.contract):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Float[Tensor, "batch place width"]) -> Float[Tensor, "batch place width"]:
        """Mix the places."""
        batch, places, width = x.shape
        parts = self.query_key_value(self.norm_attention(x)).view(batch, places, 3, self.heads, width // self.heads)
        x = x + self.project(attended(parts))
        return x + self.contract(gelu(self.expand(self.norm_perceptron(x))))
