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
from ptycho.metrics.agreement import Agreement, Map, agreement
from ptycho.metrics.self_check import SelfCheck
from ptycho_torch.inference.evidence import evidence, worst_frames
from ptycho_torch.inference.solve import Frames, Solved, Solver, Sums
from ptycho_torch.physics.forward import NO_LIGHT

logger = logging.getLogger(__name__)


def self_check(solver: Solver, solved: Solved, every: Frames, halves: list[tuple[Frames, Sums]]) -> SelfCheck:
    """Return what the scan says of what was solved from it.

    Two halves of the scan are solved as the whole was, each by itself, and compared: object and probe from the frames
    of the half alone, positions and whatever else was refined from the whole. Every frame is compared with
    what it should have counted; the photons on every pixel say how well it can be known.

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
    shot_noise = _shot_noise(found.information)
    informed = solver.with_known(solved)
    solved_halves = [
        _half(replace(informed, watcher=Aside(solver.watcher, f"check, half {number}")).solve(sums, frames))
        for number, (frames, sums) in enumerate(halves, start=1)
    ]
    return SelfCheck(
        agreement=_agreement(solved_halves, shot_noise),
        shot_noise=shot_noise,
        deviance=found.deviance.cpu().numpy(),
        z=found.z.cpu().numpy(),
        worst=worst_frames(whole, solved.end, found.z),
        seconds=time.perf_counter() - started,
    )


def _half(solved: Solved) -> Reference:
    return Reference(solved.end.object_.cpu().numpy(), np.zeros(2), solved.light.cpu().numpy())


def _agreement(halves: list[Reference], shot_noise: Map) -> Agreement | None:
    if not halves:
        logger.info("too few frames for two halves: no Fourier ring correlation between them")
        return None
    try:
        return agreement(*halves, shot_noise)
    except DataError as error:
        logger.info("no Fourier ring correlation between halves of the scan: %s", error)
        return None


def _shot_noise(information: Tensor) -> Map:
    dark = information <= NO_LIGHT * information.amax()
    noise: Map = torch.where(dark, torch.nan, information.rsqrt()).cpu().numpy()
    return noise
