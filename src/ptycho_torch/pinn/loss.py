"""What training minimises, batch by batch: what the counts say, or what the labels say."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ptycho_torch.data.batch import Step, gather
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.thinning import RegionThinning
from ptycho_torch.objectives.exit_waves import exit_wave_error
from ptycho_torch.objectives.objective import Objective
from ptycho_torch.physics.detection import Intensity
from ptycho_torch.physics.forward import probe_weight
from ptycho_torch.physics.illumination import Illumination
from ptycho_torch.physics.propagation import FarField
from ptycho_torch.physics.subpixel import SubpixelShift
from ptycho_torch.pinn.labels import Labels
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.processes.world import ALONE, World

# (network, patterns of a step) -> loss of the batch; where several processes share it, the mean of what they return.
Loss = Callable[[PtychoPINN, Step], Tensor]

# Positions that the constant phase of the labels is taken from.
SAMPLE = 256
# A patch tells the flux when the object is known under this share of its light.
KNOWN = 0.999


@dataclass(frozen=True)
class CountLoss:
    """How well the merged object of a batch explains the counts of a scan.

    With ``thinning`` the network sees one part of the counts, brought to the exposure of the whole, and the other part
    says how well it did.
    """

    scan: Scan
    objective: Objective
    thinning: RegionThinning | None = None
    world: World = ALONE

    def __call__(self, pinn: PtychoPINN, step: Step) -> Tensor:
        """Return the loss of a batch; how its counts are split was seeded before."""
        batch = gather(self.scan, step)
        measured = batch.counts
        if self.thinning is not None:
            shown, measured = self.thinning(batch.counts)
            batch = replace(batch, counts=shown / (1 - self.thinning.share))
        prediction = pinn(batch)
        expected = prediction.counts if self.thinning is None else self.thinning.share * prediction.counts
        # The last row of a region and the first of the next are no neighbours on the sample.
        regions = (len(step.groups) if pinn.overlapping else step.numel(), -1)
        canvas, coverage = (image.unflatten(0, regions) for image in (prediction.canvas, prediction.coverage))
        return self.objective(expected, measured, self.scan.mask, canvas, coverage, self.world)


@dataclass(frozen=True)
class LabelLoss:
    """How far the exit waves of predicted patches are from those of the true patches of a scan.

    L = sum |S_j(P_m O_j) - S_j(P_m) O_true|^2 / sum |S_j(P_m) O_true|^2, with S_j the sub-pixel shift that the forward
    model gives the probe: the true object is not interpolated, and its expected counts are those that it has there.
    Nothing is merged: each patch is compared with its own truth.

    Counts do not know the constant phase of an object. That of the labels is removed once for the whole scan, by the
    factor ``turn``, so that their mean over the light is real and positive, as that of a transparent object is.
    """

    scan: Scan
    labels: Labels
    turn: Tensor
    world: World = ALONE

    @staticmethod
    def of(scan: Scan, labels: Labels, light: Tensor, world: World = ALONE) -> "LabelLoss":
        """Return the loss over a scan; ``light`` (y, x) is |P|^2, counts."""
        step = max(1, len(scan) // SAMPLE)
        truth = labels.at(torch.arange(0, len(scan), step, device=scan.positions.device))
        mean = (light * truth.patches).sum()
        return LabelLoss(scan, labels, torch.polar(torch.ones_like(mean.real), -mean.angle()), world)

    def __call__(self, pinn: PtychoPINN, step: Step) -> Tensor:
        """Return the loss of a batch; while it trains, the network learns from it the flux that the labels imply."""
        members = step.groups.reshape(-1)
        counts, truth = self.scan.counts(members, step.then), self.labels.at(members)
        probe = pinn.probe.detach()
        size, n_modes = probe.shape[-1], len(probe)
        moved_probe = SubpixelShift(truth.remainder, size).spread(probe)
        true_waves = Illumination(moved_probe)(self.turn * truth.patches)
        waves = Illumination(probe[None])(pinn.predict(counts))
        place = SubpixelShift(truth.remainder.repeat_interleave(n_modes, dim=0), size)
        moved_waves = place(waves.flatten(0, 1)).view(waves.shape)
        with torch.no_grad():
            light = probe_weight(moved_probe)
            known = (light * truth.known).sum(dim=(1, 2), keepdim=True) > KNOWN * light.sum(dim=(1, 2), keepdim=True)
            expected = (Intensity() @ FarField())(true_waves)
            pinn.remember_flux(counts * known, expected * (known & self.scan.mask))
        return exit_wave_error(moved_waves, true_waves, truth.known, self.world)
