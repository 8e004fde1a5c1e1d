"""From the field at the detector to expected counts."""

from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.operator import Operator
from ptycho_torch.physics.per_pixel import per_pixel


class Intensity(Operator):
    """Expected counts I_j = sum_m |Psi_jm|^2 of a probe in sqrt(counts): modes add incoherently, after propagation."""

    def forward(self, x: Complex[Tensor, "patch mode y x"]) -> Float[Tensor, "patch y x"]:
        """Return the counts to expect in every pixel."""
        return per_pixel(x).intensity(x)
