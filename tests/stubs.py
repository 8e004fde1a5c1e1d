"""Networks that the tests make up."""

from torch import Tensor, nn

from ptycho_torch.networks.heads import weighted


class SaysPatches(nn.Module):
    """A network that says complex patches at once, by its ``forward``."""

    def said(self, images: Tensor) -> Tensor:
        """Return what `patches` makes patches of: patches."""
        return self(images)

    def patches(self, said: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the patches, weighted where there are weights."""
        return weighted(said, weight)
