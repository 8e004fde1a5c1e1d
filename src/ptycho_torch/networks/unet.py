"""The body of the lean networks: a small residual U-Net with global mixing at its coarsest scale."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.nn import functional

from ptycho_torch.networks.blocks import GlobalMixing, ResidualBlock, Upsample


class ResidualUNet(nn.Module, ABC):
    """Real images (batch, channel, N, N) to others of the same pixels; what they mean is said by those who inherit.

    Pixel-unshuffle stem at N/2, two stride-2 levels (widths w, 2w, 4w) with one residual block each, self-attention
    with learned positions on the N/8 grid, skips, pixel-shuffle on the way up, no normalisation in the convolutions.
    The depth does not depend on N; the positions do. What it says is nearly zero at first.

    Parameters
    ----------
    size
        Side N of a pattern, px; a multiple of 8.
    n_seen, n_said
        Channels in and out.
    width
        Channels w at N/2; a multiple of 8.
    mixers
        Number of self-attention blocks.
    """

    def __init__(self, size: int, n_seen: int, n_said: int, width: int = 32, mixers: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * n_seen, width, 3, padding=1)
        self.fine = ResidualBlock(width)
        self.down_middle = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.middle = ResidualBlock(2 * width)
        self.down_coarse = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        self.places = nn.Parameter(torch.empty(1, (size // 8) ** 2, 4 * width))
        self.mixing = nn.Sequential(*(GlobalMixing(4 * width, heads=4) for _ in range(mixers)))
        self.up_middle = Upsample(4 * width, 2 * width)
        self.middle_up = ResidualBlock(2 * width)
        self.up_fine = Upsample(2 * width, width)
        self.fine_up = ResidualBlock(width)
        self.head = Upsample(width, n_said, kernel=3)
        # Not normal_: on the meta device, where bundles are checked, it opens a compiler for seconds.
        nn.init.trunc_normal_(self.places, std=0.02)
        nn.init.trunc_normal_(self.head.spread.weight, std=1e-3)
        nn.init.zeros_(self.head.spread.bias)

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch seen y x"]) -> Complex64[Tensor, "batch channel y x"]:
        """Return complex patches."""

    def said(self, x: Float[Tensor, "batch seen y x"]) -> Float[Tensor, "batch said y x"]:
        """Return the images that the body makes of those that it sees."""
        fine = self.fine(self.stem(functional.pixel_unshuffle(x, 2)))
        middle = self.middle(self.down_middle(functional.gelu(fine)))
        coarse = self.down_coarse(functional.gelu(middle))
        batch, width, rows, columns = coarse.shape
        mixed = self.mixing(coarse.flatten(2).transpose(1, 2) + self.places)
        coarse = mixed.transpose(1, 2).reshape(batch, width, rows, columns)
        middle = self.middle_up(self.up_middle(coarse) + middle)
        fine = self.fine_up(self.up_fine(middle) + fine)
        return self.head(functional.gelu(fine))
