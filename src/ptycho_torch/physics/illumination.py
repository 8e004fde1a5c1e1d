"""The probe times the patch."""

from jaxtyping import Complex64
from torch import Tensor

from ptycho_torch.physics.operator import LinearOperator


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
        return (self.probe.conj() * y).sum(dim=1)
