"""What a pattern says of its patch at first sight: the residual of a transparent object, brought back to the sample."""

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from ptycho_torch.physics.operator import Operator
from ptycho_torch.physics.propagation import FarField

# Where the probe is weaker than this share of its peak intensity, little is known and little is said.
DAMPING = 0.3


class BackProjection(Operator):
    """Measured amplitudes to a first estimate of O - 1.

    b = sum_m P_m^* F^-1[ (a - |Psi|) Psi_m / |Psi| ] / (|P|^2 + 0.3 max |P|^2), with Psi_m = F[P_m] the field behind
    nothing, |Psi|^2 and |P|^2 summed over modes: the first step of an iterative engine (DOI 10.1063/1.1823034) from a
    transparent object. It lies in the pixels of the patch, holds the probe, and is zero where nothing stands in the
    beam.

    Parameters
    ----------
    probe
        (mode, y, x), in the unit of the amplitudes.
    """

    def __init__(self, probe: Complex64[Tensor, "mode y x"]) -> None:
        super().__init__()
        self.far_field = FarField()
        field = self.far_field(probe)
        self.modulus = torch.view_as_real(field).square().sum(dim=(0, -1)).sqrt()
        self.direction = field / self.modulus.clamp_min(torch.finfo(torch.float32).tiny)
        light = torch.view_as_real(probe).square().sum(dim=(0, -1))
        self.back = probe.conj() / (light + DAMPING * light.amax())

    def forward(self, x: Float32[Tensor, "patch y x"]) -> Complex64[Tensor, "patch y x"]:
        """Bring amplitudes (patch, y, x) back to the sample."""
        residual = (x - self.modulus)[:, None] * self.direction
        return (self.back * self.far_field.adjoint(residual)).sum(dim=1)
