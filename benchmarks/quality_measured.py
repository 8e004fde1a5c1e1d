"""The measured Siemens star: no truth, so the counts and two halves of the scan judge, and CPU seconds are compared.

Same frames and the same analytic probe to start from for all; all refine it, from a flat object. Halves are solved as
the whole was, with the probe guess in common: their FRC tells consistency at half the dose, not resolution.
"""

import time
from collections.abc import Callable
from pathlib import Path

import iterative_baseline
import torch
from quality_rows import Row

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.refinement import Refinement, Span
from ptycho.grouping.halves import halves
from ptycho.metrics.summary import compare
from ptycho_torch.inference.iterate import iterate

CASE, OBJECT = "Siemens star, measured", "measured"
OURS, BASELINE = "flat, probe refined", "pty-chi LSQML, best of 40 epochs"
EPOCHS = (10, 20, 30, 40)
ITERATIONS = 40

Solve = Callable[[Acquisition], Reconstruction]


def measure_star(file: Path, machine: str, device: torch.device) -> list[Row]:
    """Return a row of our iterations and one of pty-chi's LSQML, whose best of 40 epochs has the lowest R-factor."""
    scan = read(file)
    rows = []

    def add(method: str, found: Reconstruction, solve: Solve, **further: float) -> None:
        first, second = (solve(scan.part(half)) for half in halves(scan.positions))
        agreement = compare(first, second.object_, second.origin, reference_coverage=second.coverage)
        scores = {
            "r_factor": iterative_baseline.r_factor(scan, found, device=device),
            "frc_half": agreement.frc_half,
            "frc_half_bit": agreement.frc_half_bit,
        }
        rows.append(Row(CASE, OBJECT, method, 0, machine, scores | further))

    def ours(part: Acquisition) -> Reconstruction:
        return iterate(part, device=device, refinement=Refinement(ITERATIONS, probe=Span())).final

    start, cpu_start = time.perf_counter(), time.process_time()
    found = ours(scan)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    share = {}
    if iterative_baseline.is_installed():
        snapshots = list(iterative_baseline.after_epochs("LSQML", scan, EPOCHS, device=device, refine_probe=True))
        best = min(snapshots, key=lambda at: iterative_baseline.r_factor(scan, at.reconstruction, device=device))

        def theirs(part: Acquisition) -> Reconstruction:
            stops = (best.epochs,)
            *_, last = iterative_baseline.after_epochs("LSQML", part, stops, device=device, refine_probe=True)
            return last.reconstruction

        times = {"seconds": best.seconds, "cpu_seconds": best.cpu_seconds, "iterations": best.epochs}
        add(BASELINE, best.reconstruction, theirs, **times)
        share = {"cpu_share": cpu_seconds / best.cpu_seconds}
    add(OURS, found, ours, seconds=seconds, cpu_seconds=cpu_seconds, **share)
    return rows
