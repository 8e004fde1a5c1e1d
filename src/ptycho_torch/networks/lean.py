"""The lean network: first estimates of patches to patches."""

from jaxtyping import Complex64, Float
from torch import Tensor
from torch.nn import functional

from ptycho_torch.networks.heads import amplitude_and_phase, patches_of
from ptycho_torch.networks.unet import ResidualUNet, Widths


class Lean(ResidualUNet):
    """First estimates of patches, as real images (batch, 2 channel, N, N), to complex patches (batch, channel, N, N).

    The input is the real parts of all channels, then the imaginary parts, of what each pattern says at first sight (its
    residual brought back to the sample), so that input and output lie in the same pixels.

    Parameters
    ----------
    size, widths, mixers
        Those of `ResidualUNet`.
    channels
        Patterns that the network sees at once, and patches that it gives (1, or gridsize^2 for groups).
    """

    def __init__(self, size: int, channels: int, widths: Widths, mixers: int = 1) -> None:
        super().__init__(size, 2 * channels, 2 * channels, widths, mixers)

    def forward(self, x: Float[Tensor, "batch two_channels y x"]) -> Complex64[Tensor, "batch channel y x"]:
        """Return one complex patch for every pattern."""
        return self.patches(self.said(x))

    def patches(
        self, said: Float[Tensor, "batch said half_y half_x"], weight: Float[Tensor, "*patch y x"] | None = None
    ) -> Complex64[Tensor, "batch channel y x"]:
        """Return the complex patches of what the body said, weighted where there are weights."""
        return patches_of(said, weight)

    def amplitude_and_phase(
        self, x: Float[Tensor, "batch two_channels y x"]
    ) -> tuple[Float[Tensor, "batch channel y x"], Float[Tensor, "batch channel y x"]]:
        """Return amplitude and phase (rad) of the patches."""
        return amplitude_and_phase(functional.pixel_shuffle(self.said(x), 2))
