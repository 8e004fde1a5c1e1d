"""The network joined with its physics: patterns in, expected counts of the merged object out."""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor, nn

from ptycho_torch.data.batch import Batch
from ptycho_torch.physics.backprojection import BackProjection
from ptycho_torch.physics.forward import Placement, forward_model, merge, probe_weight, stack_regions
from ptycho_torch.physics.propagation import surrounding
from ptycho_torch.physics.scaling import flux_sums, input_scales
from ptycho_torch.processes.world import ALONE

# Share of a new batch in the running sums that the flux is solved from: an average over about the last 50 batches.
FLUX_MEMORY = 0.98


@dataclass(frozen=True)
class Prediction:
    """Expected counts (patch, y, x) of a batch, and the canvas (height, width) with its coverage that gave them."""

    counts: Float32[Tensor, "patch y x"]
    canvas: Complex64[Tensor, "height width"]
    coverage: Float32[Tensor, "height width"]


@dataclass(frozen=True)
class Optics:
    """What follows from a probe (mode, y, x), sqrt(counts), for every pattern behind it.

    The probe times what surrounds a bare transform, its light on each pixel of a patch, and what a pattern says at
    first sight, where the network looks at that.
    """

    bare: Complex64[Tensor, "mode y x"]
    weight: Float32[Tensor, "y x"]
    project: BackProjection | None


class PtychoPINN(nn.Module):
    """Patterns -> complex patches -> one canvas -> expected counts.

    Parameters
    ----------
    network
        Amplitudes (batch, channel, y, x), or back projections (batch, 2 channel, y, x), -> complex patches
        (batch, channel, y, x).
    probe
        (mode, y, x) complex64, sqrt(counts): sum |P|^2 is the mean counts of a frame.
    input_scale
        Factor on sqrt(counts) before the network; a constant of the training scan, kept in the bundle.
    channels
        Patterns that the network sees at once.
    back_projected
        Whether the network looks at back projections or at amplitudes.
    overlapping
        Whether the patches of a region are merged on one canvas before the physics sees them.
    probe_trainable, flux_solved
        Whether training may change the probe, and whether the global flux is solved in closed form.
    """

    probe_parts: nn.Parameter
    probe_scale: Tensor
    input_scale: Tensor
    flux_sums: Tensor

    def __init__(
        self,
        network: nn.Module,
        probe: Complex64[Tensor, "mode y x"],
        input_scale: float,
        channels: int = 1,
        *,
        back_projected: bool,
        overlapping: bool = True,
        probe_trainable: bool = False,
        flux_solved: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        self.back_projected = back_projected
        self.overlapping = overlapping
        self.flux_solved = flux_solved
        # The processes that take their shares of one batch while the network trains.
        self.world = ALONE
        # The optimiser sees a probe of root mean square one. On the meta device, where bundles are checked, the first
        # sum would open a compiler for seconds.
        scale = torch.ones(()) if probe.is_meta else probe.abs().square().mean().sqrt()
        unit = probe if probe.is_meta else probe / scale
        self.probe_parts = nn.Parameter(torch.view_as_real(unit).contiguous(), requires_grad=probe_trainable)
        self.register_buffer("probe_scale", scale)
        self.register_buffer("input_scale", torch.tensor(input_scale))
        self.register_buffer("flux_sums", torch.zeros(2))
        # What follows from a probe that nobody changes for a while, see `settle`.
        self.settled: Optics | None = None

    @property
    def probe(self) -> Complex64[Tensor, "mode y x"]:
        """The probe modes, sqrt(counts), before the flux."""
        return torch.view_as_complex(self.probe_parts) * self.probe_scale

    @property
    def optics(self) -> Optics:
        """What follows from the probe."""
        if self.settled is not None:
            return self.settled
        probe = self.probe
        project = BackProjection(probe.detach()) if self.back_projected else None
        return Optics(probe * surrounding(probe), probe_weight(probe), project)

    def settle(self) -> None:
        """Make what follows from the probe once: until ``settled`` is None again, nobody changes the probe."""
        if not self.probe_parts.requires_grad:
            self.settled = self.optics

    @property
    def sees_neighbours(self) -> bool:
        """Whether what is said of a pattern depends on others that are given with it."""
        return self.channels > 1

    @property
    def intensity_scale(self) -> float:
        """Factor from normalised amplitude to sqrt(counts): sqrt(mean counts) / (N / 2)."""
        return 1 / float(self.input_scale)

    @property
    def flux(self) -> Tensor:
        """Counts measured over counts expected, over the batches seen last; 1 before the first."""
        measured, expected = self.flux_sums
        return torch.where(expected > 0, measured / expected.clamp_min(torch.finfo(expected.dtype).tiny), 1)

    def predict(self, counts: Float32[Tensor, "patch y x"]) -> Complex64[Tensor, "patch y x"]:
        """Return one complex patch for every pattern; patterns of one group follow each other."""
        return self._patches(counts, self.optics.project, self.input_scale)

    def _patches(
        self, counts: Float32[Tensor, "patch y x"], project: BackProjection | None, scale: Tensor
    ) -> Complex64[Tensor, "patch y x"]:
        return self.network(self.images(counts, project, scale)).reshape(counts.shape)

    def images(
        self, counts: Float32[Tensor, "patch y x"], project: BackProjection | None, scale: Tensor
    ) -> Float32[Tensor, "group seen y x"]:
        """Return what the network looks at: amplitudes, or real and then imaginary parts of back projections.

        ``scale`` brings sqrt(counts) to the unit of the network.
        """
        grouped = (-1, self.channels, *counts.shape[1:])
        if project is None:
            images = (counts.sqrt() * scale).view(grouped)
        else:
            # Of one pattern alone the parts lie next to each other already, as the network wants its channels.
            images = torch.view_as_real(project(counts).view(grouped)).movedim(-1, 1).flatten(1, 2)
        return images.contiguous(memory_format=torch.channels_last)

    def forward_predict(
        self,
        x: Float32[Tensor, "group channel y x"],
        positions: Tensor | None = None,
        probe: Tensor | None = None,
        input_scale_factor: Float32[Tensor, "#group 1 1 1"] | float = 1.0,
    ) -> Complex64[Tensor, "group channel y x"]:
        """Return patches for amplitudes normalised to a mean energy of N^2 / 4; the call that older clients make.

        ``positions`` and ``probe`` are accepted for those clients: the network uses neither positions nor any probe but
        its own.
        """
        return self.predict((x * input_scale_factor / self.input_scale).square().flatten(0, 1)).view(x.shape)

    def forward(self, batch: Batch, probe: Complex64[Tensor, "region mode y x"] | None = None) -> Prediction:
        """Return what the merged object of a batch makes the detector expect.

        ``probe`` gives each region a probe of its own, sqrt(counts), which carries the mean counts of that region;
        without it all have that of this network.
        """
        placement = self.placed(batch)
        look, place = placement.look(), placement.place()
        if probe is None:
            optics = self.optics
            bare, patches, weight = optics.bare, self.predict(batch.counts), optics.weight
        else:
            lit = probe.repeat_interleave(batch.positions.shape[1], dim=0)
            scale = input_scales(lit)
            project = BackProjection(lit.detach()) if self.back_projected else None
            bare, patches = lit * surrounding(lit), self._patches(batch.counts, project, scale)
            # Regions of any exposure lie on one canvas: their light is comparable in the unit of the network.
            weight = probe_weight(lit * scale[:, None])
        canvas, coverage = merge(patches, weight, look, place)
        expected = forward_model(bare, look, place)(canvas)
        if self.flux_solved:
            self.remember_flux(batch.counts, expected)
            expected = self.flux.to(expected.dtype) * expected
        return Prediction(expected, canvas, coverage)

    def placed(self, batch: Batch) -> Placement:
        """Return where the patches of a batch lie, those of a region together or each alone."""
        size = batch.counts.shape[-1]
        if self.overlapping:
            return stack_regions(batch.positions, size, batch.sides)
        return stack_regions(batch.positions.reshape(-1, 1, 2), size, (size, size))

    @torch.no_grad()
    def remember_flux(self, measured: Float32[Tensor, "patch y x"], expected: Float32[Tensor, "patch y x"]) -> None:
        """Take counts measured and expected into the flux, while the network trains and the flux is solved."""
        if self.training and self.flux_solved:
            self.flux_sums.mul_(FLUX_MEMORY).add_(self.world.sum(flux_sums(measured, expected)))
