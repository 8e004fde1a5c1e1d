"""Likelihood iterations that finish what the network began."""

import logging
from collections import deque
from dataclasses import dataclass, field

from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho.base.watching import NOBODY, Stage, Watcher
from ptycho_torch.data.pictures import show
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.likelihood import Estimate, Likelihood, Value
from ptycho_torch.physics.forward import Placement

logger = logging.getLogger(__name__)

# Pairs of steps and gradient changes that the quasi-Newton direction remembers.
MEMORY = 10
# A canvas pixel with less than this share of the median light is held back to where its neighbours leave it.
DIM = 1e-2
# Iterations beyond the standard error of the best held-out deviance after which the iterations end.
PATIENCE = 3
MAX_HALVINGS = 8
# Name of a curve in the history -> its name for those who watch.
CURVES = {"deviance": "deviance", "held_out_deviance": "deviance of held-out pixels", "r_factor": "R-factor"}


@dataclass(frozen=True)
class Refined:
    """The best estimate, the light on its canvas, and one value an iteration (the start first) of each curve."""

    object_: Complex64[Tensor, "height width"]
    probe: Complex64[Tensor, "mode y x"]
    coverage: Float32[Tensor, "height width"]
    history: dict[str, list[float]] = field(default_factory=dict)
    stopped_early: bool = False


def refine(
    object_: Complex64[Tensor, "height width"],
    probe: Complex64[Tensor, "mode y x"],
    scan: Scan,
    placement: Placement,
    *,
    iterations: int,
    refine_probe: bool = False,
    held_out_fraction: float = 0.02,
    frames: Int64[Tensor, " frame"] | None = None,
    watcher: Watcher = NOBODY,
) -> Refined:
    """Maximise the Poisson likelihood of a scan over the object, and the probe when asked, from a given start.

    Limited-memory BFGS on the object scaled by 1 / sqrt(light) and the probe scaled by 1 / sqrt(transparency), which
    makes all pixels equally stiff. The step along a direction follows from the Fisher information and is halved until
    the objective does not grow. Pixels held out decide when more iterations would only fit noise: the last estimate
    counts whose held-out deviance lies within one standard error of the lowest.

    Parameters
    ----------
    object_, probe
        The start; probe in sqrt(counts).
    scan, placement
        The measurement and where its patches lie on the canvas of ``object_``.
    iterations
        Number of iterations at most.
    held_out_fraction
        Share of the pixels that take no part in the fit.
    frames
        Frames that are fitted; all of the scan when None.
    watcher
        Who is told how it goes.
    """
    likelihood = Likelihood(
        scan, placement, held_out_fraction=held_out_fraction, probe_free=refine_probe, frames=frames
    )
    at = Estimate(object_, probe)
    light = likelihood.light(at)
    object_stiffness = light + DIM * light[light > 0].median()
    transparency = likelihood.transparency(at)
    probe_stiffness = transparency + DIM * transparency.amax()
    value = likelihood(at)
    best, lowest, since_best = at, value, 0
    history: dict[str, list[float]] = {"deviance": [], "held_out_deviance": [], "r_factor": []}
    _note(history, value)
    pairs: deque[tuple[Estimate, Estimate]] = deque(maxlen=MEMORY)
    stage = Stage(watcher, "iterations", iterations, measure="deviance", unit="iterations")
    for done in range(1, iterations + 1):
        direction = _direction(value.gradient, pairs, object_stiffness, probe_stiffness)
        moved = _step(likelihood, at, value, direction)
        if moved is None and pairs:
            pairs.clear()
            moved = _step(likelihood, at, value, _direction(value.gradient, pairs, object_stiffness, probe_stiffness))
        if moved is None:
            break
        new_at, new_value = moved
        step = new_at.plus(-1, at)
        change = new_value.gradient.plus(-1, value.gradient)
        if step.dot(change) > 0:
            pairs.append((step, change))
        at, value = new_at, new_value
        _note(history, value)
        stage.advance(done, 1, value.deviance)
        for name, curve in history.items():
            watcher.add(CURVES[name], curve[-1])
        if watcher.wants_picture:
            show(watcher, at.object_, light)
        lowest = min(lowest, value, key=lambda seen: seen.held_out)
        as_good = value.held_out <= lowest.held_out + lowest.held_out_error
        best, since_best = (at, 0) if as_good else (best, since_best + 1)
        if since_best >= PATIENCE:
            break
    return Refined(best.object_, best.probe, likelihood.light(best), history, stopped_early=since_best >= PATIENCE)


def _note(history: dict[str, list[float]], value: Value) -> None:
    history["deviance"].append(value.deviance)
    history["held_out_deviance"].append(value.held_out)
    history["r_factor"].append(value.r_factor)


def _direction(
    gradient: Estimate, pairs: deque[tuple[Estimate, Estimate]], object_stiffness: Tensor, probe_stiffness: Tensor
) -> Estimate:
    """Return minus the estimated inverse Hessian times the gradient.

    Two loops over the remembered pairs (DOI 10.1090/S0025-5718-1980-0572855-7).
    """
    rest = gradient
    factors = []
    for step, change in reversed(pairs):
        rho = 1 / step.dot(change)
        alpha = rho * step.dot(rest)
        rest = rest.plus(-alpha, change)
        factors.append((rho, alpha))
    rest = rest.times(1 / object_stiffness, 1 / probe_stiffness)
    if pairs:
        step, change = pairs[-1]
        scaled = change.times(1 / object_stiffness, 1 / probe_stiffness)
        gamma = step.dot(change) / change.dot(scaled)
        rest = rest.times(gamma, gamma)
    for (step, change), (rho, alpha) in zip(pairs, reversed(factors), strict=True):
        rest = rest.plus(alpha - rho * change.dot(rest), step)
    return rest.times(-1, -1)


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
