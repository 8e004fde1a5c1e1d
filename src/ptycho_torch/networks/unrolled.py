"""One pass of an unrolled reconstruction: patches, their residual and the light to better patches."""

import torch
from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.nn import functional

from ptycho_torch.networks.unet import ResidualUNet, Widths

# Real images that a pass sees: patch (2), step it asks for (2), step that all ask for (2), light, dose.
N_SEEN = 8


class Unrolled(ResidualUNet):
    """What is known of a patch, as real images (batch, 8, N, N), to a better patch (batch, 1, N, N).

    The images are the real and imaginary parts of the patch O, of the step r that its own pattern asks for and of the
    step that all patterns together ask for there; then the light on the patch (largest 1) and the dose, see
    `ptycho_torch.pinn.unrolled.UnrolledPINN`. The answer is O + s r + U, with a learned step s, 1
    at first, and U what the body says, nearly zero at first: a fresh network takes the step of an iterative engine.

    Parameters
    ----------
    size, widths, mixers
        Those of `ResidualUNet`.
    """

    def __init__(self, size: int, widths: Widths, mixers: int = 1) -> None:
        super().__init__(size, N_SEEN, 2, widths, mixers)
        self.step = nn.Parameter(torch.ones(()))

    def forward(self, x: Float[Tensor, "batch seen y x"]) -> Complex64[Tensor, "batch 1 y x"]:
        """Return the better patch of every pattern."""
        patch, step = (torch.complex(part[:, :1], part[:, 1:]) for part in (x[:, :2].float(), x[:, 2:4].float()))
        real, imaginary = functional.pixel_shuffle(self.said(x), 2).float().chunk(2, dim=1)
        return patch + self.step * step + torch.complex(real, imaginary)
