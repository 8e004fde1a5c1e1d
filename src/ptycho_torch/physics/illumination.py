"""The probe times the patch."""

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from ptycho_torch.physics.modulus import over_modes
from ptycho_torch.physics.operator import LinearOperator
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.per_pixel import per_pixel


class Illumination(LinearOperator):
    """Exit waves psi_jm = P_jm . O_j of every patch behind every probe mode.

    Parameters
    ----------
    probe
        (patch, mode, y, x) complex, the probe as each patch sees it, or (1, mode, y, x) for all; sqrt(counts).
    """

    def __init__(self, probe: Complex64[Tensor, "_ mode y x"]) -> None:
        super().__init__()
        self.probe = probe

    def forward(self, x: Complex64[Tensor, "patch y x"]) -> Complex64[Tensor, "patch mode y x"]:
        """Illuminate the patches."""
        return self.probe * x[:, None]

    def adjoint(self, y: Complex64[Tensor, "patch mode y x"]) -> Complex64[Tensor, "patch y x"]:
        """Multiply by the conjugate probe and add the modes."""
        return over_modes(self.probe.conj() * y)


class ExitWaves(LinearOperator):
    """`Illumination` of the patches that are cut from an object, at once.

    Parameters
    ----------
    probe
        (patch, mode, y, x) complex, the probe as each patch sees it.
    look
        What cuts the patches.
    """

    def __init__(self, probe: Complex64[Tensor, "patch mode y x"], look: PatchesAt) -> None:
        super().__init__()
        self.probe, self.look = probe, look

    def forward(self, x: Complex64[Tensor, "height width"]) -> Complex64[Tensor, "patch mode y x"]:
        """Illuminate the object."""
        return per_pixel(x).exit_waves(self.probe, x, self.look)

    def adjoint(self, y: Complex64[Tensor, "patch mode y x"]) -> Complex64[Tensor, "height width"]:
        """Multiply by the conjugate probe, add the modes, and add all patches up."""
        return per_pixel(y).add_back(y.new_zeros(self.look.object_shape), self.probe, y, self.look)


def soft_disk(size: int, diameter: float, edge: float) -> Float32[Tensor, "y x"]:
    """Return a mask (size, size) that is 1 inside a disk about index size // 2 and falls to 0 across its edge.

    The fall is that of an error function with standard deviation ``edge``; 0 is a hard edge. Lengths in px.
    """
    axis = torch.arange(size) - size // 2
    inside = diameter / 2 - torch.hypot(axis[:, None].float(), axis[None, :].float())
    if edge == 0:
        return (inside > 0).float()
    return 0.5 * (1 + torch.erf(inside / (edge * 2**0.5)))
