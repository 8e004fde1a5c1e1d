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
from ptycho.config.refinement import Refinement
from ptycho.metrics.agreement import Agreement, agreement, apart
from ptycho.metrics.deviation import Best, Examined, deviations
from ptycho.metrics.limit import Limit, limit_of
from ptycho.metrics.self_check import IN_DOUBT, Map, SelfCheck
from ptycho_torch.inference.evidence import evidence, worst_frames
from ptycho_torch.inference.examination import examine
from ptycho_torch.inference.limit import Fisher
from ptycho_torch.inference.refine import refine
from ptycho_torch.inference.solve import Frames, Solved, Solver, Sums, less_network
from ptycho_torch.physics.forward import NO_LIGHT

logger = logging.getLogger(__name__)

# Errors drawn for the limit, and where their solution ends: a few per cent are enough for curves and decibels.
N_ERRORS, RESIDUAL, MOST_STEPS = 2, 3e-2, 20
# What is done in halves for an object that no iterations have finished: how far it is from where these lead.
FINISHED = Refinement(iterations=20)
# Share of the misfit of a transparent object that is left of a network's where the network knows such scans.
STRANGE = 1 / 3
# Iterations from which a misfit is no longer that of a start.
ENOUGH = 10
# What lets an object go that something held back; twice as many fit no better by more than noise.
FREED = Refinement(iterations=5)


@torch.no_grad()
def self_check(solver: Solver, solved: Solved, every: Frames, halves: list[tuple[Frames, Sums]]) -> SelfCheck:
    """Return what the scan says of what was solved from it.

    Two halves of the scan are solved as the whole was, each by itself, compared, and held against the counts of the
    other: object and probe from the frames of the half alone, positions and whatever else was refined from the whole.
    Where no iterations were asked for, some are made, which say how far from them the network is.
    Every frame is compared with what it should have counted; the photons on every pixel say how well it can be known.
    Where it is in doubt whether a wrong model or the prior makes a misfit, the object is let go of the prior.

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
    solved_halves = _solved(informed, halves)
    agreed = _agreement([_on_canvas(half) for half in solved_halves], errors)
    amplitude, phase = _deviations(informed, solved, halves, solved_halves, agreed, generator)
    check = SelfCheck(
        agreement=agreed,
        limit=_limit(errors, solved),
        amplitude_deviation=amplitude,
        phase_deviation=phase,
        shot_noise=_shot_noise(found.information),
        deviance=found.deviance.cpu().numpy(),
        noise=found.noise.cpu().numpy(),
        n_counts=len(every) * int(solver.scan.mask.sum()),
        n_values=2 * int(fisher.support.sum()),
        free_misfit=None,
        z=found.z.cpu().numpy(),
        worst=worst_frames(whole, solved.end, found.z),
        seconds=0.0,
    )
    if check.in_doubt and _held_back(solver, solved):
        check = replace(check, free_misfit=_free_misfit(solver, solved, every, check))
    if check.wrong_model:
        _compare_with_transparent(solver, solved, every, check)
    return replace(check, seconds=time.perf_counter() - started)


def _held_back(solver: Solver, solved: Solved) -> bool:
    """Return whether a prior or a network holds back an object that enough iterations have brought to the counts."""
    asked = solver.refinement
    by_something = asked.prior_strength > 0 or solved.network_weight > 0
    return by_something and asked.object is not None and asked.iterations >= ENOUGH


def _compare_with_transparent(solver: Solver, solved: Solved, every: Frames, check: SelfCheck) -> None:
    """Warn where the network's object, before any iterations, fits little better than a transparent one.

    Iterations can make up for it: only where the result does not fit is the network a reason that helps.
    """
    law, said = solver.likelihood(every, solver.placement), solved.start
    clear = replace(said, object_=torch.ones_like(said.object_))
    clear = replace(clear, object_=clear.object_ * law.flux(clear) ** 0.5)
    noise = float(check.noise.mean()) * check.n_counts
    of_network, of_clear = (float(law.frame_deviances(at).sum() - noise) / check.n_values for at in (said, clear))
    if of_clear > IN_DOUBT and of_network > max(IN_DOUBT, STRANGE * of_clear):
        logger.warning(
            "the network does not know scans like this one, or has not learnt enough, or probe, positions or "
            "orientation are wrong: before iterations its object has a misfit of %.3g, a transparent one of %.3g; "
            "expected less than a third of that; look at the scan, tune the network on it (ptycho train --from), or "
            "give more iterations (--refine)",
            of_network,
            of_clear,
        )


def _free_misfit(solver: Solver, solved: Solved, every: Frames, check: SelfCheck) -> float:
    """Return the misfit after iterations in which neither a prior nor a network holds the object back."""
    done = refine(
        *(solved.end, solver.scan, solved.placement, FREED),
        held_out_fraction=0.0,
        frames=every,
        watcher=Aside(solver.watcher, "check, without prior"),
        world=solver.world,
    )
    found = evidence(solver.likelihood(every, done.placement), done.at)
    return replace(check, deviance=found.deviance.cpu().numpy(), noise=found.noise.cpu().numpy()).misfit


def _solved(solver: Solver, halves: list[tuple[Frames, Sums]]) -> list[Solved]:
    return [
        replace(solver, watcher=Aside(solver.watcher, f"check, half {number}")).solve(sums, frames)
        for number, (frames, sums) in enumerate(halves, start=1)
    ]


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
    halves: list[tuple[Frames, Sums]],
    solved_halves: list[Solved],
    agreed: Agreement | None,
    generator: torch.Generator,
) -> tuple[Map, Map]:
    """Return the standard deviations of amplitude and phase; NaN without halves."""
    if agreed is None:
        unknown = np.full(tuple(solved.light.shape), np.nan)
        return unknown, unknown
    one, other = (half.light.cpu().numpy() for half in solved_halves)
    part = np.divide(one, one + other, out=np.full(one.shape, 0.5, one.dtype), where=agreed.mask)
    finished, away, difference, mask = solved, np.zeros_like(agreed.difference), agreed.difference, agreed.mask
    (frames, sums), (others, other_sums) = halves
    # Iterations that were dismissed lead nowhere better.
    if not (solved.network_kept or (solver.refinement.works and solved.network_weight == 0)):
        if solver.refinement.works:
            finished, *finished_halves = (less_network(each) for each in (solved, *solved_halves))
        else:
            finishing = replace(solver, refinement=FINISHED, watcher=Aside(solver.watcher, "check, iterations"))
            finished = finishing.solve(sums + other_sums, torch.arange(len(solver.scan), device=frames.device))
            finished_halves = _solved(finishing, halves)
        away, seen = apart(_on_canvas(finished), _on_canvas(solved))
        difference, seen_too = apart(*(_on_canvas(half) for half in finished_halves))
        mask = mask & seen & seen_too
        away, difference = mask * away, mask * difference

    best = finished.end.object_
    apart_ = torch.as_tensor(difference.astype(np.complex64), device=best.device)

    def examined(share: np.ndarray, frames: Frames) -> Examined:
        shift = torch.as_tensor(share, device=best.device) * apart_
        at = replace(finished.end, object_=best + torch.sgn(best) * shift)
        return examine(solver.likelihood(frames, finished.placement), at, apart_, generator)

    each = [examined(1 - part, others), examined(-part, frames)]
    object_ = solved.end.object_.cpu().numpy()
    return deviations(agreed.difference, mask, part * (1 - part), Best(away, difference, each), object_)


def _shot_noise(information: Tensor) -> Map:
    dark = information <= NO_LIGHT * information.amax()
    noise: Map = torch.where(dark, torch.nan, information.rsqrt()).cpu().numpy()
    return noise
