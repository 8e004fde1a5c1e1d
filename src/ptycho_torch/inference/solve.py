"""A network and a scan, and what they make of all its frames or of some."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho.base.arrays import Positions
from ptycho.base.watching import NOBODY, Watcher
from ptycho.config.refinement import Refinement
from ptycho.grouping.halves import halves
from ptycho.grouping.sampling import draw_groups, enough_neighbours
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.predict import summed_patches
from ptycho_torch.inference.refine import refine
from ptycho_torch.physics.forward import Placement, divide
from ptycho_torch.pinn.pinn import PtychoPINN

Frames = Int64[Tensor, "_"]
Sums = Complex64[Tensor, "2 height width"]


@dataclass(frozen=True)
class Solved:
    """The stitched estimate and the last one, the light on the canvas of each, and how it came about.

    ``placement`` says where the patches of the last one are cut.
    """

    start: Estimate
    start_light: Float32[Tensor, "height width"]
    end: Estimate
    light: Float32[Tensor, "height width"]
    placement: Placement
    history: dict[str, list[float]] = field(default_factory=dict)
    stopped_early: bool = False


@dataclass(frozen=True)
class Solver:
    """A trained network, a scan with the place of its patches, and the choices of a reconstruction.

    Attributes
    ----------
    pinn, scan, placement
        On one device.
    flux
        Counts of this scan over counts of the training scan.
    batch_size, n_neighbours, refinement, watcher
        As `ptycho_torch.inference.reconstruct.reconstruct` has them.
    known
        An estimate whose positions, flux, background and variations hold; None where there is none.
    """

    pinn: PtychoPINN
    scan: Scan
    placement: Placement
    flux: float
    batch_size: int
    n_neighbours: int
    refinement: Refinement
    watcher: Watcher = NOBODY
    known: Estimate | None = None

    @property
    def light_scale(self) -> float:
        """Return the counts of this scan over the power of the network's own probe."""
        return self.flux * float(self.pinn.flux)

    def sums_with_halves(self, every: Frames, *, wanted: bool) -> tuple[Sums, list[tuple[Frames, Sums]]]:
        """Return the sums of all frames, and frames and sums of two halves of them that both cover the field.

        The sums are the same, bit by bit, whether the halves are wanted or not: iterations magnify what another order
        of summing makes of them. There are no halves where one would have less frames than a group.
        """
        free = not self.pinn.sees_neighbours
        if len(every) < 2 * self.pinn.channels or not (free or wanted):
            return self.sums(every), []
        parts = [torch.from_numpy(half).to(every.device) for half in halves(self.scan.positions.cpu().numpy())]
        sums = [self.sums(part) for part in parts]
        # A network that sees patterns alone says the same of a pattern in a half as in the whole.
        whole = sums[0] + sums[1] if free else self.sums(every)
        return whole, list(zip(parts, sums, strict=True)) if wanted else []

    def sums(self, frames: Frames) -> Sums:
        """Return the lit patches that the network predicts from some frames alone, and their light, summed up."""
        positions = self.scan.positions[frames].cpu().numpy()
        groups = groups_of(positions, self.pinn.channels, self.n_neighbours).to(frames.device)
        summed = summed_patches(
            *(self.pinn, self.scan, self.placement, frames[groups]),
            batch_size=self.batch_size,
            flux=self.flux,
            watcher=self.watcher,
        )
        return torch.stack(summed)

    def solve(self, sums: Sums, frames: Frames) -> Solved:
        """Bring stitched patches to the counts of some frames, and let likelihood iterations over these finish it."""
        object_, coverage = divide(*sums)
        probe = self.pinn.probe.detach() * self.light_scale**0.5
        flux = self.likelihood(frames, self.placement).flux(Estimate(object_, probe))
        start = Estimate(object_ * flux**0.5, probe)
        begun = start
        if self.known is not None:
            begun = replace(self.known, object_=start.object_, probe=probe)
        elif self.refinement.positions is not None:
            begun = replace(start, positions=self.placement.positions)
        light = coverage * self.light_scale
        if not self.refinement.iterations:
            return Solved(start, light, begun, light, self.placement)
        done = refine(
            *(begun, self.scan, self.placement, self.refinement),
            frames=frames,
            watcher=self.watcher,
        )
        return Solved(start, light, done.at, done.coverage, done.placement, done.history, done.stopped_early)

    def likelihood(self, frames: Frames, placement: Placement) -> Likelihood:
        """Return the likelihood of some frames, no pixel held out."""
        return Likelihood(self.scan, placement, held_out_fraction=0.0, frames=frames)

    def with_known(self, solved: Solved) -> "Solver":
        """Return a solver that takes from a solution all but the object and the probe, and leaves it as it is."""
        of_object_and_probe = Refinement(
            self.refinement.iterations, object=self.refinement.object, probe=self.refinement.probe
        )
        return replace(self, placement=solved.placement, refinement=of_object_and_probe, known=solved.end)


def groups_of(positions: Positions, channels: int, n_neighbours: int) -> Int64[Tensor, "group member"]:
    """Return the groups of patterns that a network of so many channels sees together; every pattern is first once."""
    n = len(positions)
    if channels == 1:
        return torch.arange(n)[:, None]
    n_neighbours = enough_neighbours(n_neighbours, channels - 1)
    rng = np.random.default_rng(0)
    return torch.from_numpy(draw_groups(positions, channels, n_neighbours, n, rng).indices)
