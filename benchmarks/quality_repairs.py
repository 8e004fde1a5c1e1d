"""Scans whose file is wrong about the positions or the probe, and what the iterations put right."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from corrections import (
    ERROR,
    OUT_OF_FOCUS,
    POSITIONS_FROM,
    PROBE_FROM,
    misplaced,
    out_of_focus,
    position_error,
    probe_error,
)
from quality_judge import Judge

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.refinement import Refinement
from ptycho_torch.inference.iterate import iterate

HELD, REFINED = "held", "refined"


def measure_repair(
    judge: Judge, what: Literal["positions", "probe"], iterations: int, rng: np.random.Generator
) -> None:
    """Add rows of iterations from a flat object with wrong positions or a wrong probe, which they hold or refine."""
    truth = judge.scan
    judge.measure_limits()
    if what == "positions":
        wrong, refinement = misplaced(truth, ERROR, rng), Refinement(iterations, positions=POSITIONS_FROM)
    else:
        wrong = replace(truth, probe=out_of_focus(truth.probe, OUT_OF_FOCUS))
        refinement = Refinement(iterations, probe=PROBE_FROM)
    for how, asked in ((HELD, Refinement(iterations)), (REFINED, refinement)):
        found = judge.measure(f"{what} {how}", lambda chosen=asked: solved(wrong, chosen, judge.device))
        if what == "positions":
            used = found.positions if found.corrected_positions is None else found.corrected_positions
            judge.rows[-1].scores["position_error"] = position_error(used, truth.positions)
        else:
            judge.rows[-1].scores["probe_error"] = probe_error(found.probe, truth.probe)


def solved(scan: Acquisition, refinement: Refinement, device: torch.device) -> Reconstruction:
    """Return what the iterations make of a flat object."""
    return iterate(scan, device=device, refinement=refinement).final
