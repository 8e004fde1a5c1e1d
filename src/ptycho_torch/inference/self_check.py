"""What a reconstruction says of itself, without a truth."""

import logging
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ptycho.assembly.reference import Reference
from ptycho.base.errors import DataError
from ptycho.base.watching import Aside
from ptycho.metrics.agreement import Agreement, agreement, filled
from ptycho.metrics.deviation import deviations
from ptycho.metrics.limit import Limit, limit_of
from ptycho.metrics.self_check import Map, SelfCheck
from ptycho_torch.inference.evidence import evidence, worst_frames
from ptycho_torch.inference.examination import examine
from ptycho_torch.inference.limit import Fisher
from ptycho_torch.inference.solve import Frames, Solved, Solver, Sums
from ptycho_torch.physics.forward import NO_LIGHT

logger = logging.getLogger(__name__)

# Errors drawn for the limit, and where their solution ends: a few per cent are enough for curves and decibels.
N_ERRORS, RESIDUAL, MOST_STEPS = 2, 3e-2, 20


@torch.no_grad()
def self_check(solver: Solver, solved: Solved, every: Frames, halves: list[tuple[Frames, Sums]]) -> SelfCheck:
    """Return what the scan says of what was solved from it.

    Two halves of the scan are solved as the whole was, each by itself, compared, and held against the counts of the
    other: object and probe from the frames of the half alone, positions and whatever else was refined from the whole.
    Every frame is compared with what it should have counted; the photons on every pixel say how well it can be known.

    Parameters
    ----------
    solver, solved, every
        The whole reconstruction and all frames of the scan.
    halves
        Frames of two halves, and the patches that the network predicts from each half alone; none where they would
        be too small.
    """
    started = time.perf_counter()
    whole = solver.likelihood(every, solved.placement)
    found = evidence(whole, solved.end)
    # Every process draws for its own frames.
    generator = torch.Generator(device=every.device).manual_seed(solver.world.rank)
    fisher = Fisher(whole, solved.end)
    errors = fisher.solve(fisher.scores(N_ERRORS, generator), residual=RESIDUAL, most=MOST_STEPS).cpu().numpy()
    informed = solver.with_known(solved)
    solved_halves = [
        replace(informed, watcher=Aside(solver.watcher, f"check, half {number}")).solve(sums, frames)
        for number, (frames, sums) in enumerate(halves, start=1)
    ]
    agreed = _agreement([_on_canvas(half) for half in solved_halves], errors)
    amplitude, phase = _deviations(solver, solved, [frames for frames, _ in halves], solved_halves, agreed, generator)
    return SelfCheck(
        agreement=agreed,
        limit=_limit(errors, solved),
        amplitude_deviation=amplitude,
        phase_deviation=phase,
        shot_noise=_shot_noise(found.information),
        deviance=found.deviance.cpu().numpy(),
        noise=found.noise.cpu().numpy(),
        n_counts=len(every) * int(solver.scan.mask.sum()),
        n_values=2 * int(fisher.support.sum()),
        z=found.z.cpu().numpy(),
        worst=worst_frames(whole, solved.end, found.z),
        seconds=time.perf_counter() - started,
    )


def _on_canvas(solved: Solved) -> Reference:
    return Reference(solved.end.object_.cpu().numpy(), np.zeros(2), solved.light.cpu().numpy())


def _agreement(halves: list[Reference], errors: np.ndarray) -> Agreement | None:
    if not halves:
        logger.info("too few frames for two halves: no Fourier ring correlation between them")
        return None
    try:
        return agreement(*halves, errors)
    except DataError as error:
        logger.info("no Fourier ring correlation between halves of the scan: %s", error)
        return None


def _limit(errors: np.ndarray, solved: Solved) -> Limit | None:
    try:
        return limit_of(errors, _on_canvas(solved))
    except DataError as error:
        logger.info("no limit of shot noise: %s", error)
        return None


def _deviations(
    solver: Solver,
    solved: Solved,
    frames: list[Frames],
    halves: list[Solved],
    agreed: Agreement | None,
    generator: torch.Generator,
) -> tuple[Map, Map]:
    """Return the standard deviations of amplitude and phase; NaN without halves."""
    object_ = solved.end.object_.cpu().numpy()
    if agreed is None:
        return np.full(object_.shape, np.nan), np.full(object_.shape, np.nan)
    difference = torch.as_tensor(agreed.difference.astype(np.complex64), device=solved.end.object_.device)
    # What belongs to single frames was found from all of them: a half does not know that of the other's.
    of_frames = {name: getattr(solved.end, name) for name in ("positions", "gain", "variations", "weights")}
    one, other = (half.light.cpu().numpy() for half in halves)
    share = np.divide(one * other, (one + other) ** 2, out=np.full(one.shape, 0.25, one.dtype), where=agreed.mask)
    # Where hardly any light fell a half is wild, and all that light there could say of would be that.
    objects = [filled(_on_canvas(half), _on_canvas(solved), agreed.mask) for half in halves]
    ends = [
        replace(half.end, object_=torch.as_tensor(found, device=difference.device), **of_frames)
        for half, found in zip(halves, objects, strict=True)
    ]
    examined = [
        examine(solver.likelihood(others, solved.placement), end, difference, generator)
        for end, others in zip(ends, reversed(frames), strict=True)
    ]
    return deviations(agreed.difference, agreed.mask, share, examined, object_)


def _shot_noise(information: Tensor) -> Map:
    dark = information <= NO_LIGHT * information.amax()
    noise: Map = torch.where(dark, torch.nan, information.rsqrt()).cpu().numpy()
    return noise
