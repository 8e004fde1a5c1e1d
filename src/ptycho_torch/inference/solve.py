"""A network and a scan, and what they make of all its frames or of some."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho.base.arrays import Positions
from ptycho.base.watching import NOBODY, Aside, Watcher
from ptycho.config.execution import Precision
from ptycho.config.refinement import Refinement
from ptycho.grouping.halves import halves
from ptycho.grouping.sampling import draw_groups, enough_neighbours
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.predict import summed_patches
from ptycho_torch.inference.prior import edge_preserving
from ptycho_torch.inference.refine import HELD_OUT, refine
from ptycho_torch.physics.forward import Placement, divide
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.processes.world import ALONE, World

logger = logging.getLogger(__name__)

# Share of the photons that neither network nor iterations see when it is judged how much of each the result shall be.
UNSEEN = 0.1
# Frames that are judged at most; those of a larger scan cost time and memory and would say the same.
ENOUGH = 1024
# Difference of deviances that tells anything: that of one free value.
TELLING = 1.0
# Times what noise alone could account for, beyond which there is nothing to judge.
CLEAR = 2.0

Frames = Int64[Tensor, "_"]
Sums = Complex64[Tensor, "2 height width"]


@dataclass(frozen=True)
class Solved:
    """The stitched estimate and the last one, the light on the canvas of each, and how it came about.

    ``placement`` says where the patches of the last one are cut; ``network_weight`` the share of the network's object
    in it; ``network_kept`` that this is all of it, so that both objects are the same but for the scale that they share
    with their probes; ``scale`` by what factor the network's object was brought to the counts; ``held_out_deviance`` is
    that of the last one, None where nothing was fitted.
    """

    start: Estimate
    start_light: Float32[Tensor, "height width"]
    end: Estimate
    light: Float32[Tensor, "height width"]
    placement: Placement
    held_out_deviance: float | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    stopped_early: bool = False
    network_weight: float = 0.0
    network_kept: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class Solver:
    """A trained network, a scan with the place of its patches, and the choices of a reconstruction.

    Attributes
    ----------
    pinn, scan, placement
        On one device.
    flux
        Counts of this scan over counts of the training scan.
    batch_size, n_neighbours, refinement, precision, watcher
        As `ptycho_torch.inference.reconstruct.reconstruct` has them.
    known
        An estimate whose positions, flux, background and variations hold; None where there is none.
    common, scale
        An estimate of other frames of the scan whose probe and background hold, and the factor that brings the
        network's object to the counts; None where these frames say it.
    network_weight
        Share of the network's object in the result; None where photons that nobody saw shall say it.
    world
        The processes that share all work, each with the same of everything else.
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
    common: Estimate | None = None
    scale: float | None = None
    network_weight: float | None = None
    precision: Precision = "32-true"
    world: World = ALONE

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
        return summed_patches(
            *(self.pinn, self.scan, self.placement, frames[groups]),
            batch_size=self.batch_size,
            flux=self.flux,
            precision=self.precision,
            watcher=self.watcher,
            world=self.world,
        )

    def solve(self, sums: Sums, frames: Frames) -> Solved:
        """Bring stitched patches to the counts of some frames, and let iterations over these finish it.

        Unless the counts leave no doubt that they tell more than the network does, the object is a mean of what the
        network says and of what the iterations make of it, in the proportion that photons say which neither saw.
        """
        done = self._iterated(sums, frames)
        if not self.refinement.works or self.refinement.object is None:
            return done
        weight = self.network_weight
        if weight is None:
            weight = 0.0 if self._beyond_doubt(done, frames) else self._judged(frames)
        if weight == 0:
            return done
        # What else the iterations found stays, and was there when the photons judged.
        end = between(done, weight) if weight < 1 else replace(done.end, object_=beside(done.start, done.end))
        law = Likelihood(
            *(self.scan, done.placement), held_out_fraction=HELD_OUT, free=(), frames=frames, world=self.world
        )
        held_out = law(end).held_out_mean
        return replace(done, end=end, held_out_deviance=held_out, network_weight=weight, network_kept=weight == 1)

    def _begun(self, sums: Sums, frames: Frames) -> Solved:
        object_, coverage = divide(*sums)
        probe = self.pinn.probe.detach() * self.light_scale**0.5
        scale = self.scale
        if scale is None:
            scale = self.likelihood(frames, self.placement).flux(Estimate(object_, probe)) ** 0.5
        start = Estimate(object_ * scale, probe)
        begun = start
        if self.common is not None:
            common = self.common
            begun = replace(start, object_=beside(start, common), probe=common.probe, haze=common.haze)
        if self.known is not None and self.refinement.works:
            begun = replace(self.known, object_=start.object_, probe=probe)
        elif self.known is not None:
            begun = replace(self.known, object_=beside(start, self.known))
        elif self.refinement.positions is not None:
            begun = replace(begun, positions=self.placement.positions)
        light = coverage * self.light_scale
        return Solved(start, light, begun, light, self.placement, scale=scale)

    def _iterated(self, sums: Sums, frames: Frames) -> Solved:
        begun = self._begun(sums, frames)
        if not self.refinement.works:
            return begun
        # Some frames of a scan get their share of its prior: they make the same of the object, with more noise.
        part = len(frames) / len(self.scan)
        strength, light = part * self.refinement.prior_strength, begun.light / part
        done = refine(
            *(begun.end, self.scan, self.placement, self.refinement),
            prior=edge_preserving(strength, light, begun.start.object_),
            frames=frames,
            watcher=self.watcher,
            world=self.world,
        )
        return replace(
            begun,
            end=done.at,
            light=done.coverage,
            placement=done.placement,
            held_out_deviance=done.held_out_deviance,
            history=done.history,
            stopped_early=done.stopped_early,
        )

    def _beyond_doubt(self, done: Solved, frames: Frames) -> bool:
        """Return whether the deviance fell by more than noise could account for, were it fitted as well as can be.

        By Akaike's criterion (DOI 10.1109/TAC.1974.1100705) a free value earns its place when it lowers the deviance
        by 2; every canvas pixel is two values.
        """
        before, after = done.history["deviance"][0], done.history["deviance"][-1]
        n_counts = len(frames) * int(self.scan.mask.sum())
        return (before - after) * n_counts > CLEAR * 2 * 2 * done.light.numel()

    def _judged(self, frames: Frames) -> float:
        """Return the share of the network's object in the mean that photons find most likely which nobody saw.

        They are taken out before the network looks at the patterns, for it would know their noise. Between two
        estimates the deviance is a parabola, but for little: three values say where it is lowest.
        """
        frames = self._amid(frames)
        seen, unseen = self.scan.split(UNSEEN, frames)
        blind = replace(
            self,
            scan=seen,
            placement=self.placement.part(frames),
            flux=self.flux * (1 - UNSEEN),
            watcher=Aside(self.watcher, "judge"),
        )
        every = torch.arange(len(frames), device=frames.device)
        done = blind._iterated(blind.sums(every), every)
        law = Likelihood(unseen, done.placement, held_out_fraction=0.0, world=self.world)
        brighter = UNSEEN / (1 - UNSEEN)
        none, half, all_ = (
            float(law.frame_deviances(between(done, weight).exposed(brighter)).sum()) for weight in (0.0, 0.5, 1.0)
        )
        better = "the network's object" if all_ < none else "what the iterations made"
        share = _lowest(none, half, all_)
        told = "photons kept apart fit %s better, by %.3g of deviance: the network's share is %.0f %%"
        logger.info(told, better, abs(none - all_), 100 * share)
        return share

    def _amid(self, frames: Frames) -> Frames:
        """Return as many of some frames as are enough to judge, those nearest to the middle of the scan."""
        positions = self.scan.positions[frames]
        distance = (positions - positions.sort(dim=0).values[len(positions) // 2]).square().sum(dim=1)
        return frames[distance.argsort()[:ENOUGH].sort().values]

    def likelihood(self, frames: Frames, placement: Placement) -> Likelihood:
        """Return the likelihood of some frames, no pixel held out."""
        return Likelihood(self.scan, placement, held_out_fraction=0.0, frames=frames, world=self.world)

    def with_known(self, solved: Solved) -> "Solver":
        """Return a solver that takes from a solution all but the object and the probe, and leaves it as it is."""
        of_object_and_probe = Refinement()
        if not solved.network_kept:
            of_object_and_probe = replace(
                self.refinement, positions=None, flux=None, background=None, probe_variation=None, n_variations=0
            )
        return replace(
            self,
            placement=solved.placement,
            refinement=of_object_and_probe,
            known=solved.end,
            network_weight=solved.network_weight,
        )


def between(solved: Solved, weight: float) -> Estimate:
    """Return the last estimate with a mean of both objects: the first one has the weight.

    It is brought to the scale and the global phase of the last one, which no count knows.
    """
    first, last = beside(solved.start, solved.end), solved.end.object_
    phase = torch.sgn((solved.light * first.conj() * last).sum())
    return replace(solved.end, object_=torch.lerp(last, phase * first, weight))


def less_network(solved: Solved) -> Solved:
    """Return what the iterations made, of a mean in which the network's object has a share that is less than all."""
    weight = solved.network_weight
    return replace(solved, end=between(solved, -weight / (1 - weight)), network_weight=0.0)


def _lowest(none: float, half: float, all_: float) -> float:
    """Return where between 0 and 1 the parabola through three deviances is lowest; 1 where they tell nothing."""
    bend = none - 2 * half + all_
    if bend < TELLING:
        return float(all_ - none < TELLING)
    return min(max(0.5 + (none - all_) / (4 * bend), 0.0), 1.0)


def beside(said: Estimate, other: Estimate) -> Complex64[Tensor, "height width"]:
    """Return the object of an estimate in the scale that it has with the probe of another.

    Object and probe share a factor that no count knows, and with few photons iterations move it far.
    """
    return said.object_ * (torch.linalg.vector_norm(said.probe) / torch.linalg.vector_norm(other.probe))


def groups_of(positions: Positions, channels: int, n_neighbours: int) -> Int64[Tensor, "group member"]:
    """Return the groups of patterns that a network of so many channels sees together; every pattern is first once."""
    n = len(positions)
    if channels == 1:
        return torch.arange(n)[:, None]
    n_neighbours = enough_neighbours(n_neighbours, channels - 1)
    rng = np.random.default_rng(0)
    return torch.from_numpy(draw_groups(positions, channels, n_neighbours, n, rng).indices)
