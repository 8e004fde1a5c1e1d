"""What a pattern says of its patch at first sight, or beside an estimate: its residual, brought back to the sample."""

import torch
from jaxtyping import Bool, Complex64, Float32
from torch import Tensor

from ptycho_torch.physics.modulus import over_modes, squared_modulus
from ptycho_torch.physics.operator import Operator
from ptycho_torch.physics.per_pixel import per_pixel
from ptycho_torch.physics.propagation import FarField, surrounding
from ptycho_torch.physics.transforms import transformed

# Where the probe is weaker than this share of its peak intensity, little is known and little is said.
DAMPING = 0.3
# Counts under the root of the expected ones: its slope stays finite where nothing is expected.
FAINT = 1e-3


class BackProjection(Operator):
    """Measured counts n to a first estimate of O - 1.

    b = sum_m P_m^* F^-1[ (sqrt(n) - |Psi|) Psi_m / |Psi| ] / (|P|^2 + 0.3 max |P|^2), with Psi_m = F[P_m] the field
    behind nothing, |Psi|^2 and |P|^2 summed over modes: the first step of an iterative engine (DOI 10.1063/1.1823034)
    from a transparent object. It lies in the pixels of the patch, holds the probe, and is zero where nothing stands in
    the beam.

    Parameters
    ----------
    probe
        (mode, y, x), or (patch, mode, y, x) where every pattern has its own; sqrt(counts).
    """

    def __init__(self, probe: Complex64[Tensor, "*patch mode y x"]) -> None:
        super().__init__()
        field = FarField()(probe)
        self.modulus = squared_modulus(field).sum(dim=-3).sqrt()
        self.direction = field / self.modulus.unsqueeze(-3).clamp_min(torch.finfo(torch.float32).tiny)
        light = squared_modulus(probe).sum(dim=-3)
        damped = light + DAMPING * light.amax(dim=(-2, -1), keepdim=True)
        self.back = probe.conj() / damped.unsqueeze(-3)
        # What else follows the transform is in one factor with it: every pass over the fields costs as much.
        self._after_transform = self.back * surrounding(probe).conj()

    def forward(self, x: Float32[Tensor, "patch y x"]) -> Complex64[Tensor, "patch y x"]:
        """Bring counts (patch, y, x) back to the sample."""
        residual = per_pixel(self.direction).missing(x, self.modulus, self.direction)
        return over_modes(self._after_transform * transformed(residual, back=True))


class ResidualProjection(Operator):
    """Estimated patches to the residual of their patterns, brought back to the sample: as `BackProjection`, in counts.

    g_j = sum_m P_jm^* F^-1[ (sqrt(n_j) - |Psi_j|) Psi_jm / |Psi_j| ] with Psi_jm = F[P_jm O_j], zero where the detector
    can't be trusted: downhill in the squared amplitude error. O_j + g_j / `damped` light is a step of an iterative
    engine.

    Parameters
    ----------
    probe
        (patch, mode, y, x), the probe as each patch sees it, sqrt(counts).
    counts
        (patch, y, x), measured.
    mask
        (y, x), pixels of the detector that can be trusted; None for all.
    """

    def __init__(
        self,
        probe: Complex64[Tensor, "patch mode y x"],
        counts: Float32[Tensor, "patch y x"],
        mask: Bool[Tensor, "y x"] | None = None,
    ) -> None:
        super().__init__()
        self.far_field = FarField()
        self.probe = probe
        self.amplitude = counts.sqrt()
        self.mask = mask

    def forward(self, x: Complex64[Tensor, "patch y x"]) -> Complex64[Tensor, "patch y x"]:
        """Return the residual of the patches."""
        field = self.far_field(self.probe * x[:, None])
        modulus = (over_modes(squared_modulus(field)) + FAINT).sqrt()
        missing = self.amplitude / modulus - 1
        if self.mask is not None:
            missing = torch.where(self.mask, missing, 0)
        back = self.far_field.adjoint(missing[:, None] * field)
        return over_modes(self.probe.conj() * back)


def damped(light: Float32[Tensor, "patch y x"], peak: Float32[Tensor, "patch 1 1"]) -> Float32[Tensor, "patch y x"]:
    """Return what a residual is divided by to give a step: light + 0.3 peak, counts."""
    return light + DAMPING * peak
