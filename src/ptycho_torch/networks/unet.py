"""The body of the lean networks: a small residual U-Net with global mixing at its coarsest scale."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.nn import functional

from ptycho_torch.networks.blocks import GlobalMixing, ResidualBlock, Upsample
from ptycho_torch.networks.gelu import gelu
from ptycho_torch.networks.halving import Halving
from ptycho_torch.networks.three_by_three import ThreeByThree

Widths = tuple[int, int, int]
# Channels at N/2, N/4 and N/8 in units of w / 2. What the fine levels cost the most of is arithmetic and traffic; what
# they need the least of is channels. "even" is what bundles from before there was a choice hold.
LEVELS: dict[str, Widths] = {"slim": (1, 2, 8), "even": (2, 4, 8)}


def level_widths(width: int, levels: str) -> Widths:
    """Return the channels of the three levels for a width w, best a multiple of 16.

    Examples
    --------
    >>> level_widths(32, "slim")
    (16, 32, 128)
    """
    fine, middle, coarse = (max(1, halves * width // 2) for halves in LEVELS[levels])
    return fine, middle, coarse


class ResidualUNet(nn.Module, ABC):
    """Real images (batch, channel, N, N) to others of the same pixels; what they mean is said by those who inherit.

    Pixel-unshuffle stem at N/2, two stride-2 levels with one residual block each, self-attention with learned positions
    on the N/8 grid, skips, pixel-shuffle on the way up, no normalisation in the convolutions. The depth does not depend
    on N; the positions do. What it says is nearly zero at first.

    Parameters
    ----------
    size
        Side N of a pattern, px; a multiple of 8.
    n_seen, n_said
        Channels in and out.
    widths
        Channels at N/2, N/4 and N/8, see `level_widths`; the last a multiple of the four heads of the attention.
    mixers
        Number of self-attention blocks.
    """

    def __init__(self, size: int, n_seen: int, n_said: int, widths: Widths, mixers: int = 1) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.stem = ThreeByThree(4 * n_seen, fine)
        self.fine = ResidualBlock(fine)
        self.down_middle = Halving(fine, middle)
        self.middle = ResidualBlock(middle)
        self.down_coarse = Halving(middle, coarse)
        self.places = nn.Parameter(torch.empty(1, (size // 8) ** 2, coarse))
        self.mixing = nn.Sequential(*(GlobalMixing(coarse, heads=4) for _ in range(mixers)))
        self.up_middle = Upsample(coarse, middle)
        self.middle_up = ResidualBlock(middle)
        self.up_fine = Upsample(middle, fine)
        self.fine_up = ResidualBlock(fine)
        self.head = Upsample(fine, n_said, kernel=3)
        # Not normal_: on the meta device, where bundles are checked, it opens a compiler for seconds.
        nn.init.trunc_normal_(self.places, std=0.02)
        nn.init.trunc_normal_(self.head.spread.weight, std=1e-3)
        nn.init.zeros_(self.head.spread.bias)

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch seen y x"]) -> Complex64[Tensor, "batch channel y x"]:
        """Return complex patches."""

    def said(self, x: Float[Tensor, "batch seen y x"]) -> Float[Tensor, "batch four_said half_y half_x"]:
        """Return the images that the body makes of those that it sees: squares of 2 x 2 pixels are channels.

        `torch.nn.functional.pixel_shuffle` takes them apart.
        """
        fine = self.fine(self.stem(functional.pixel_unshuffle(x, 2)))
        middle = self.middle(self.down_middle(functional.gelu(fine)))
        coarse = self.down_coarse(functional.gelu(middle))
        batch, width, rows, columns = coarse.shape
        mixed = self.mixing(coarse.flatten(2).transpose(1, 2) + self.places)
        coarse = mixed.transpose(1, 2).reshape(batch, width, rows, columns)
        middle = self.middle_up(self.up_middle(coarse) + middle)
        fine = self.fine_up(self.up_fine(middle) + fine)
        return self.head.spread(gelu(fine))
