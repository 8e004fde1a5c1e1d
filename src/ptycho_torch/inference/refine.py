"""Likelihood iterations that finish what the network began."""

import logging
from dataclasses import dataclass, field, replace

from jaxtyping import Float32, Int64
from torch import Tensor

from ptycho.base.watching import NOBODY, Stage, Watcher
from ptycho.config.refinement import Refinement
from ptycho_torch.data.pictures import show
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.fastest import pages_for
from ptycho_torch.inference.first_guess import FirstGuess
from ptycho_torch.inference.likelihood import Likelihood, Value
from ptycho_torch.inference.line import Line, line_from
from ptycho_torch.inference.parts import entered, settled
from ptycho_torch.inference.passes import approach
from ptycho_torch.inference.prior import Prior
from ptycho_torch.inference.quasi_newton import QuasiNewton
from ptycho_torch.inference.search import Tries, search, within
from ptycho_torch.inference.stopping import Stopping
from ptycho_torch.physics.forward import Placement
from ptycho_torch.processes.world import ALONE, World

logger = logging.getLogger(__name__)

MAX_HALVINGS = 7
# Share of the pixels that take no part in the fit.
HELD_OUT = 0.02
# Iterations before which values are scaled anew: a prior is soft at edges, and these appear by then. Before the last of
# them, where more follow, what an estimate does not explain is noise to a prior if the mean deviance of a pixel is
# above UNEXPLAINED.
RESCALED = (3, 6)
UNEXPLAINED = 4.0
# Iterations after which values are scaled anew while a probe is free: they were scaled by the probe as it was.
PROBE_RESCALED = 15
# Distance of a position from the middle of its pixel, px, at which its patch is cut anew.
RECUT = 1.5
# Iterations after the first that frees positions -> places where every frame is tried before them.
SEARCHES = {0: Tries(2, 1.0), 5: Tries(2, 1.0), 10: Tries(2, 1.0), 20: Tries(4, 1.0), 40: Tries(4, 1.0)}
# Name of a curve in the history -> its name for those who watch.
CURVES = {"deviance": "deviance", "held_out_deviance": "deviance of held-out pixels", "r_factor": "R-factor"}


@dataclass(frozen=True)
class Refined:
    """The estimate that counts, the light on its canvas, where patches lie, and one value an iteration of each curve.

    The first value of a curve is that of the start, and the next one that after the passes where there are any.
    ``held_out_deviance`` is that of the estimate that counts, which need not be the last one.
    """

    at: Estimate
    coverage: Float32[Tensor, "height width"]
    placement: Placement
    held_out_deviance: float
    history: dict[str, list[float]] = field(default_factory=dict)
    stopped_early: bool = False


def refine(
    start: Estimate,
    scan: Scan,
    placement: Placement,
    refinement: Refinement,
    *,
    prior: Prior | None = None,
    held_out_fraction: float = HELD_OUT,
    frames: Int64[Tensor, " frame"] | None = None,
    watcher: Watcher = NOBODY,
    world: World = ALONE,
) -> Refined:
    """Maximise the Poisson likelihood of a scan, and what a prior adds, over what is free of an estimate.

    Passes in batches first, where they are asked for. Then limited-memory BFGS, with every part scaled by what the
    scan can know of it, which makes all values equally stiff, and the phases of overlapping frames brought together.
    The step along a direction follows from the Fisher information and is halved until the objective does not grow.
    In the first iterations a prior takes for noise what the start leaves unexplained.
    Without a prior, pixels held out decide when more iterations would only fit noise; the last estimate counts that
    is as good for them as the best one, be it the start. As long as a prior holds the noise back, all iterations are
    made and the last estimate counts: whoever made the start may have seen those pixels.

    Parameters
    ----------
    start
        Object, and probe in sqrt(counts).
    scan, placement
        The measurement and where its patches lie on the canvas of the object.
    refinement
        How many iterations at most, and what they may change when.
    prior
        What is expected of the object beforehand; nothing when None.
    held_out_fraction
        Share of the pixels that take no part in the fit.
    frames
        Frames that are fitted; all of the scan when None.
    watcher
        Who is told how it goes.
    world
        The processes that share the frames. All go the same steps, with the same result.
    """
    likelihood = Likelihood(
        *(scan, placement),
        held_out_fraction=held_out_fraction,
        free=(),
        prior=prior,
        frames=frames,
        world=world,
    )
    n_pixels = len(likelihood.frames) * scan.size**2 * refinement.iterations
    likelihood = likelihood.computing(pages_for(scan, n_pixels))
    walk = _Walk(likelihood, start, refinement)
    light = likelihood.light(start)

    def judges(value: Value) -> Float32[Tensor, " pixel"]:
        return value.held_out if walk.likelihood.prior is None else value.held_out[:0]

    stopping = Stopping(judges(walk.value), world)
    history: dict[str, list[float]] = {"deviance": [], "held_out_deviance": [], "r_factor": []}
    _note(history, walk.value)
    best, held_out = start, history["held_out_deviance"][0]
    if refinement.approaches:
        walk.stand(approach(start, likelihood, refinement, watcher=watcher))
        _note(history, walk.value)
        if stopping.is_as_good(judges(walk.value)):
            best, held_out = walk.at, history["held_out_deviance"][-1]
        stopping.wait()
    changes, rescaled = _changes(refinement), _rescaled(refinement, prior)
    # A step that fails says nothing of a prior that is dimmed, or of a guess that was made at the start.
    last = max(changes.keys() | rescaled & set(RESCALED), default=0)
    stage = Stage(watcher, "iterations", refinement.iterations, measure="deviance", unit="iterations")
    for iteration in range(refinement.iterations):
        if iteration in changes:
            walk.begin(best if stopping.ended else walk.at, iteration, changes[iteration])
            stopping.wait()
        elif iteration in rescaled:
            walk.begin(walk.at, iteration, None)
        moved = walk.step()
        at, value = walk.at, walk.value
        _note(history, value)
        stage.advance(iteration + 1, 1, value.deviance)
        for name, curve in history.items():
            watcher.add(CURVES[name], curve[-1])
        if watcher.wants_picture:
            show(watcher, at.object_, light)
        if stopping.is_as_good(judges(value)):
            best, held_out = at, history["held_out_deviance"][-1]
        if (stopping.ended or not moved) and iteration >= last:
            break
    found = frozenset[str]().union(*(free_in(refinement, iteration) for iteration in range(refinement.iterations)))
    best = settled(best, likelihood.frames, found)
    end = walk.likelihood if best.positions is None else walk.likelihood.recut(best.positions)
    return Refined(best, end.light(best), end.placement, held_out, history, stopped_early=stopping.ended)


class _Walk:
    """An estimate on its way, with what the likelihood says of it.

    Parameters
    ----------
    likelihood, at
        Where it begins.
    refinement
        What may change when.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate, refinement: Refinement) -> None:
        self.refinement = refinement
        self.likelihood = likelihood
        self._prior = likelihood.prior
        self.at = at
        self.value = likelihood(at)
        self._line: Line | None = None
        self.home = likelihood.placement.positions
        self._newton = QuasiNewton(lambda gradient: gradient)

    def begin(self, at: Estimate, iteration: int, tries: Tries | None) -> None:
        """Go on from an estimate with what is free from now on, and with positions tried where that is asked for."""
        free = free_in(self.refinement, iteration)
        at = entered(self.likelihood, at, free, self.refinement.n_variations)
        if tries is not None:
            at = search(self.likelihood, at, self.home, tries)
        # What is expected of an object pulls positions along: they are found from the counts alone.
        prior = None if "positions" in free else self._prior
        misfit, last = self.value.deviance, RESCALED[-1]
        if prior is not None and misfit > UNEXPLAINED and iteration < last < self.refinement.iterations:
            prior = prior.dimmed(misfit)
        self.likelihood = self.likelihood.freeing(free).expecting(prior)
        self._newton = QuasiNewton(FirstGuess(self.likelihood, at))
        self.stand(at)

    def step(self) -> bool:
        """Go one step, and return whether there was one that does not lead up."""
        moved = self._downhill()
        if moved is None and self._newton:
            self._newton.forget()
            moved = self._downhill()
        if moved is None:
            return False
        at, value = moved
        self._newton.learn(at.plus(-1, self.at))
        self.at, self.value = at, value
        if "positions" in self.likelihood.free:
            self._stay_near()
        return True

    def _stay_near(self) -> None:
        """Cut patches anew where positions have moved far in them, and keep all positions on the canvas."""
        at = replace(self.at, positions=within(self.at.positions, self.home))
        if self.likelihood.placement.remainder_of(at.positions).sub(0.5).abs().amax() > RECUT:
            self.stand(at)

    def stand(self, at: Estimate) -> None:
        """Go on from an estimate."""
        if at.positions is not None:
            self.likelihood = self.likelihood.recut(at.positions)
        self.at, self.value = at, self.likelihood(at)
        self._line = None

    def _downhill(self) -> tuple[Estimate, Value] | None:
        """Return a point along the direction where the objective is not larger, None when there is none."""
        direction = self._newton.direction(self.value.gradient)
        # Sums in no fixed order make it, on GPUs: what follows is decided alike only where it is the same.
        for name in sorted(self.likelihood.free):
            self.likelihood.world.agree(direction.parts[name])
        line = self._line = self._line or line_from(self.likelihood, self.at)
        length, at, value = line.first(direction, self.value.gradient)
        if length <= 0:
            return None
        halvings = 0
        # Not "larger than": what is no number is no less.
        while not value.objective <= self.value.objective:
            if halvings == MAX_HALVINGS:
                return None
            halvings, length = halvings + 1, length / 2
            at, value = line.value(length)
        line.go(at)
        return at, value


def free_in(refinement: Refinement, iteration: int) -> frozenset[str]:
    """Return the parts of an estimate that an iteration may change."""
    spans = {
        "object_": refinement.object,
        "probe": refinement.probe,
        "positions": refinement.positions,
        "gain": refinement.flux,
        "haze": refinement.background,
        "variations": refinement.probe_variation,
        "weights": refinement.probe_variation,
    }
    return frozenset(name for name, span in spans.items() if span is not None and iteration in span)


def _changes(refinement: Refinement) -> dict[int, Tries | None]:
    """Return the iterations before which other parts become free or positions are tried, and how these are tried."""
    free = [free_in(refinement, iteration) for iteration in range(refinement.iterations)]
    changes: dict[int, Tries | None] = {
        iteration: None for iteration in range(len(free)) if iteration == 0 or free[iteration] != free[iteration - 1]
    }
    if refinement.positions is not None:
        for after, tries in SEARCHES.items():
            iteration = refinement.positions.start + after
            if iteration < len(free) and "positions" in free[iteration]:
                changes[iteration] = tries
    return changes


def _rescaled(refinement: Refinement, prior: Prior | None) -> set[int]:
    """Return the iterations before which values are scaled anew though the same parts stay free."""
    found = set[int]() if prior is None else set(RESCALED)
    if refinement.probe is not None:
        for iteration in range(refinement.probe.start + PROBE_RESCALED, refinement.iterations, PROBE_RESCALED):
            free = free_in(refinement, iteration)
            # Where positions move too, what was learnt of all of them together is worth more.
            if "probe" in free and "positions" not in free:
                found.add(iteration)
    return found


def _note(history: dict[str, list[float]], value: Value) -> None:
    history["deviance"].append(value.deviance)
    history["held_out_deviance"].append(value.held_out_mean)
    history["r_factor"].append(value.r_factor)
