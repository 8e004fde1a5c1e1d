"""A network that works on the object in passes: it sees the probe, and what the patterns still ask for."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex64, Float32
from torch import Tensor, nn

from ptycho_torch.data.batch import Batch
from ptycho_torch.physics.backprojection import ResidualProjection, damped
from ptycho_torch.physics.forward import Placement, brightest, detector, divide, probe_weight, stack_regions
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.pinn.pinn import Prediction, PtychoPINN

# The dose that a network sees is log10 of the counts of a frame, moved and scaled to about -1 ... 1 (1e3 ... 1e7).
USUAL_DOSE, DOSE_RANGE = 5.0, 2.0


@dataclass(frozen=True)
class Frames:
    """Some frames: their counts, where their patches lie, the probe as each sees it, sqrt(counts), trusted pixels."""

    counts: Float32[Tensor, "patch y x"]
    look: PatchesAt
    probe: Complex64[Tensor, "patch mode y x"]
    mask: Bool[Tensor, "y x"] | None = None

    @staticmethod
    def of(
        counts: Float32[Tensor, "patch y x"],
        placement: Placement,
        probe: Complex64[Tensor, "*patch mode y x"],
        mask: Bool[Tensor, "y x"] | None = None,
    ) -> "Frames":
        """Return frames of patches placed on a canvas, behind one probe for all or one for each."""
        return Frames(counts, placement.look(), placement.place().spread(probe), mask)

    @property
    def light(self) -> Float32[Tensor, "patch y x"]:
        """|P|^2 summed over modes, counts."""
        return probe_weight(self.probe)

    def residual(self, canvas: Complex64[Tensor, "height width"]) -> Complex64[Tensor, "patch y x"]:
        """Return what the patterns still ask for beside a canvas, brought back to the sample, counts."""
        return ResidualProjection(self.probe, self.counts, self.mask)(self.look(canvas))


class UnrolledPINN(PtychoPINN):
    """Patterns and a probe -> passes over one canvas -> expected counts.

    The canvas begins transparent, O_0 = 1. A pass cuts patches O_j at whole pixels, behind the probe P_j moved by the
    sub-pixel remainder of each position; the network sees patch, residual, light and dose, and says a better patch; the
    patches are merged again,

        g_j = sum_m P_jm^* F^-1[ (sqrt(n_j) - |Psi_j|) Psi_jm / |Psi_j| ],  Psi_jm = F[P_jm O_j],
        r_j = g_j / (|P_j|^2 + 0.3 max |P|^2),  R = sum_j g_j / (sum_j |P_j|^2 + 0.3 max |P|^2),
        O <- sum_j |P_j|^2 N(O_j, r_j, R_j, |P_j|^2) / sum_j |P_j|^2.

    The same weights serve every pass. The probe enters through residual and light, so another one may stand in its
    place: `behind`.

    Parameters
    ----------
    network
        (batch, 8, y, x) -> complex patches (batch, 1, y, x), see `ptycho_torch.networks.unrolled.Unrolled`.
    probe, input_scale, overlapping
        As for `PtychoPINN`.
    passes
        How often the network goes over the canvas.
    """

    def __init__(
        self,
        network: nn.Module,
        probe: Complex64[Tensor, "mode y x"],
        input_scale: float,
        *,
        passes: int,
        overlapping: bool = True,
    ) -> None:
        super().__init__(network, probe, input_scale, back_projected=False, overlapping=overlapping, flux_solved=False)
        self.passes = passes

    @property
    def sees_neighbours(self) -> bool:
        """Whether what is said of a pattern depends on others: through the canvas it does."""
        return True

    def behind(self, probe: Complex64[Tensor, "mode y x"], input_scale: float) -> "UnrolledPINN":
        """Return the same network behind another probe, sqrt(counts), with the scale of that scan."""
        return UnrolledPINN(self.network, probe, input_scale, passes=self.passes, overlapping=self.overlapping)

    def forward(self, batch: Batch, probe: Complex64[Tensor, "region mode y x"] | None = None) -> Prediction:
        """Return what the merged object of a batch makes the detector expect.

        ``probe`` gives each region a probe of its own, sqrt(counts); without it all have that of this network.
        """
        placement = self.placed(batch)
        lit = self.probe if probe is None else probe.repeat_interleave(batch.positions.shape[1], dim=0)
        frames = Frames.of(batch.counts, placement, lit, batch.mask)
        canvas, coverage = self.canvas(frames)
        return Prediction(detector(frames.probe)(frames.look(canvas)), canvas, coverage)

    def canvas(self, frames: Frames) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
        """Return the canvas after all passes over frames that fit in memory together, and the light on it."""
        light = frames.look.adjoint(frames.light)
        brightest_light = brightest(light, frames.look.n_regions)
        canvas = torch.ones_like(light, dtype=torch.complex64)
        for _ in range(self.passes):
            residual = frames.look.adjoint(frames.residual(canvas))
            lit = frames.look.adjoint(self.lit_patches(canvas, residual, light, frames))
            canvas, _ = divide(lit, light.to(torch.complex64), brightest_light)
        return canvas, light

    def lit_patches(
        self,
        canvas: Complex64[Tensor, "height width"],
        residual: Complex64[Tensor, "height width"],
        light: Float32[Tensor, "height width"],
        frames: Frames,
    ) -> Complex64[Tensor, "patch y x"]:
        """Return the patches that the network makes of a canvas, weighted by the light.

        ``residual`` and ``light`` are the sums over all frames of the canvas, ``frames`` may be some of them.
        """
        patches, own_light = frames.look(canvas), frames.light
        peak = own_light.amax(dim=(1, 2), keepdim=True)
        own_step = frames.residual(canvas) / damped(own_light, peak)
        common_step = frames.look(residual) / damped(frames.look(light), peak)
        dose = (own_light.sum(dim=(1, 2), keepdim=True).log10() - USUAL_DOSE) / DOSE_RANGE
        images = [torch.view_as_real(image) for image in (patches, own_step, common_step)]
        seen = torch.cat([*images, (own_light / peak)[..., None], dose.expand(own_light.shape)[..., None]], dim=-1)
        return own_light * self.network(seen.movedim(-1, 1))[:, 0]

    def predict(self, counts: Float32[Tensor, "patch y x"]) -> Complex64[Tensor, "patch y x"]:
        """Return the patches of patterns whose positions nobody knows: each on a canvas of its own."""
        nowhere = torch.zeros(len(counts), 1, 2, dtype=torch.float64, device=counts.device)
        size = counts.shape[-1]
        placement = stack_regions(nowhere, size, (size, size))
        frames = Frames.of(counts, placement, self.probe)
        return frames.look(self.canvas(frames)[0])
