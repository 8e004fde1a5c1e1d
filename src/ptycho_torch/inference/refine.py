"""Likelihood iterations that finish what the network began."""

import logging
from dataclasses import dataclass, field

from jaxtyping import Float32, Int64
from torch import Tensor

from ptycho.base.watching import NOBODY, Stage, Watcher
from ptycho.config.refinement import Refinement
from ptycho_torch.data.pictures import show
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood, Value
from ptycho_torch.inference.quasi_newton import QuasiNewton
from ptycho_torch.physics.forward import Placement

logger = logging.getLogger(__name__)

# A canvas pixel with less than this share of the median light is held back to where its neighbours leave it.
DIM = 1e-2
# Iterations beyond the standard error of the best held-out deviance after which the iterations end.
PATIENCE = 3
MAX_HALVINGS = 8
# Name of a curve in the history -> its name for those who watch.
CURVES = {"deviance": "deviance", "held_out_deviance": "deviance of held-out pixels", "r_factor": "R-factor"}


@dataclass(frozen=True)
class Refined:
    """The best estimate, the light on its canvas, where its patches lie, and one value an iteration of each curve.

    The first value of a curve is that of the start.
    """

    at: Estimate
    coverage: Float32[Tensor, "height width"]
    placement: Placement
    history: dict[str, list[float]] = field(default_factory=dict)
    stopped_early: bool = False


def refine(
    start: Estimate,
    scan: Scan,
    placement: Placement,
    refinement: Refinement,
    *,
    held_out_fraction: float = 0.02,
    frames: Int64[Tensor, " frame"] | None = None,
    watcher: Watcher = NOBODY,
) -> Refined:
    """Maximise the Poisson likelihood of a scan over what is free of an estimate.

    Limited-memory BFGS, with every part scaled by what the scan can know of it, which makes all values equally stiff.
    The step along a direction follows from the Fisher information and is halved until the objective does not grow.
    Pixels held out decide when more iterations would only fit noise: the last estimate counts whose held-out deviance
    lies within one standard error of the lowest.

    Parameters
    ----------
    start
        Object, and probe in sqrt(counts).
    scan, placement
        The measurement and where its patches lie on the canvas of the object.
    refinement
        How many iterations at most, and what they may change when.
    held_out_fraction
        Share of the pixels that take no part in the fit.
    frames
        Frames that are fitted; all of the scan when None.
    watcher
        Who is told how it goes.
    """
    likelihood = Likelihood(scan, placement, held_out_fraction=held_out_fraction, free=(), frames=frames)
    at = start
    light = likelihood.light(at)
    value = likelihood(at)
    best, lowest, since_best = at, value, 0
    history: dict[str, list[float]] = {"deviance": [], "held_out_deviance": [], "r_factor": []}
    _note(history, value)
    newton = QuasiNewton({})
    stage = Stage(watcher, "iterations", refinement.iterations, measure="deviance", unit="iterations")
    for iteration in range(refinement.iterations):
        free = free_in(refinement, iteration)
        if free != likelihood.free:
            likelihood = likelihood.freeing(free)
            newton = QuasiNewton(_held_back(likelihood.stiffness(at)))
            value = likelihood(at)
            since_best = 0
        moved = _step(likelihood, at, value, newton.direction(value.gradient))
        if moved is None and newton:
            newton.forget()
            moved = _step(likelihood, at, value, newton.direction(value.gradient))
        if moved is None:
            break
        new_at, new_value = moved
        newton.learn(new_at.plus(-1, at), new_value.gradient.plus(-1, value.gradient))
        at, value = new_at, new_value
        _note(history, value)
        stage.advance(iteration + 1, 1, value.deviance)
        for name, curve in history.items():
            watcher.add(CURVES[name], curve[-1])
        if watcher.wants_picture:
            show(watcher, at.object_, light)
        lowest = min(lowest, value, key=lambda seen: seen.held_out)
        as_good = value.held_out <= lowest.held_out + lowest.held_out_error
        best, since_best = (at, 0) if as_good else (best, since_best + 1)
        if since_best >= PATIENCE:
            break
    return Refined(best, likelihood.light(best), placement, history, stopped_early=since_best >= PATIENCE)


def free_in(refinement: Refinement, iteration: int) -> frozenset[str]:
    """Return the parts of an estimate that an iteration may change."""
    spans = {"object_": refinement.object, "probe": refinement.probe}
    return frozenset(name for name, span in spans.items() if span is not None and iteration in span)


def _held_back(stiffness: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return stiffnesses that nothing is free of, so that no step goes where the scan knows next to nothing."""
    return {
        name: stiff + DIM * (stiff[stiff > 0].median() if name == "object_" else stiff.amax())
        for name, stiff in stiffness.items()
    }


def _note(history: dict[str, list[float]], value: Value) -> None:
    history["deviance"].append(value.deviance)
    history["held_out_deviance"].append(value.held_out)
    history["r_factor"].append(value.r_factor)


def _step(likelihood: Likelihood, at: Estimate, value: Value, direction: Estimate) -> tuple[Estimate, Value] | None:
    """Return a point along the direction where the objective is not larger, None when there is none."""
    slope = value.gradient.dot(direction)
    if slope >= 0:
        return None
    curvature = likelihood.curvature(at, direction)
    length = -slope / curvature if curvature > 0 else 1.0
    for _ in range(MAX_HALVINGS):
        new_at = at.plus(length, direction)
        new_value = likelihood(new_at)
        if new_value.deviance <= value.deviance:
            return new_at, new_value
        length /= 2
    return None
