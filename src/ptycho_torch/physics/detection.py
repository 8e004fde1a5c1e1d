"""From the field at the detector to expected counts."""

from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.modulus import over_modes, squared_modulus
from ptycho_torch.physics.operator import Operator


class Intensity(Operator):
    """Expected counts I_j = c sum_m |Psi_jm|^2 + b: modes add incoherently, after the propagation.

    Parameters
    ----------
    flux
        Factor c on the counts; 1 when the probe is in sqrt(counts).
    background
        Counts b that every pixel gets without any light from the sample.
    """

    def __init__(self, flux: float | Tensor = 1.0, background: float | Tensor = 0.0) -> None:
        super().__init__()
        self.flux = flux
        self.background = background

    def forward(self, x: Complex[Tensor, "patch mode y x"]) -> Float[Tensor, "patch y x"]:
        """Return the counts to expect in every pixel."""
        return self.flux * over_modes(squared_modulus(x)) + self.background
