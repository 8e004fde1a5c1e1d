"""The measured Siemens star: no truth, so the counts and two halves of the scan judge, and CPU seconds are compared.

Same frames and the same analytic probe to start from for all; all refine it, from a flat object. Halves are solved as
the whole was, with the probe guess in common: their FRC tells consistency at half the dose, not resolution.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import iterative_baseline
import numpy as np
import torch
from quality_rows import Row

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.refinement import Refinement, Span
from ptycho.grouping.halves import halves
from ptycho.metrics.frc import fourier_ring_correlation
from ptycho.metrics.summary import Comparison, compare
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.passes import with_modes
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.pinn.pinn import PtychoPINN

CASE, OBJECT = "Siemens star, measured", "measured"
OURS = "flat, passes, probe of 3 modes refined"
BASELINE, BASELINE_WITH_MODES = "pty-chi LSQML, best of 40 epochs", "pty-chi LSQML, probe of 3 modes"
TRAINED, PRETRAINED = "from file to image, trained", "from file to image, pre-trained"
EPOCHS = (10, 20, 30, 40)
REFINEMENT = Refinement(probe=Span(), coarse_passes=6, passes=6, n_modes=3)
STAR_SIZE = 128  # px, of its patterns
CENTRE = 192  # px, the side of the square in the middle whose phases are correlated too

Solve = Callable[[Acquisition], Reconstruction]


def measure_star(file: Path, machine: str, device: torch.device) -> list[Row]:
    """Return a row of our passes and of pty-chi's LSQML, whose best of 40 epochs has the lowest R-factor.

    LSQML has one mode, as it has by default; a further row says what it makes of the modes that ours begins with.
    """
    scan = read(file)

    def ours(part: Acquisition) -> Reconstruction:
        return iterate(part, device=device, refinement=REFINEMENT).final

    start, cpu_start = time.perf_counter(), time.process_time()
    found = ours(scan)
    times = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}
    scores = {"r_factor": iterative_baseline.r_factor(scan, found, device=device)} | agreement(scan, ours)
    rows = [Row(CASE, OBJECT, OURS, 0, machine, scores | times)]
    if not iterative_baseline.is_installed():
        return rows

    def theirs(part: Acquisition) -> iterative_baseline.Snapshot:
        snapshots = iterative_baseline.after_epochs("LSQML", part, EPOCHS, device=device, refine_probe=True)
        return min(snapshots, key=lambda at: iterative_baseline.r_factor(part, at.reconstruction, device=device))

    several = replace(scan, probe=with_modes(torch.as_tensor(scan.probe), REFINEMENT.n_modes).numpy())
    for method, wanted in ((BASELINE, scan), (BASELINE_WITH_MODES, several)):
        best = theirs(wanted)
        scores = {
            "r_factor": iterative_baseline.r_factor(scan, best.reconstruction, device=device),
            "iterations": best.epochs,
            "seconds": best.seconds,
            "cpu_seconds": best.cpu_seconds,
        }
        if method == BASELINE:
            rows[0].scores["cpu_share"] = times["cpu_seconds"] / best.cpu_seconds
            scores |= agreement(scan, lambda part: theirs(part).reconstruction)
        rows.append(Row(CASE, OBJECT, method, 0, machine, scores))
    return rows


def measure_time_to_image(
    file: Path, networks: dict[str, Callable[[Acquisition], PtychoPINN]], machine: str, device: torch.device
) -> list[Row]:
    """Return rows of the seconds from the file to the stitched and refined image, by where the network comes from."""
    rows = []
    for method, network_of in networks.items():
        start, cpu_start = time.perf_counter(), time.process_time()
        scan = read(file)
        found = reconstruct(network_of(scan), scan, device=device, refinement=REFINEMENT).final
        times = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}
        scores = {"r_factor": iterative_baseline.r_factor(scan, found, device=device)}
        rows.append(Row(CASE, OBJECT, method, 0, machine, scores | times))
    return rows


def agreement(scan: Acquisition, solve: Solve) -> dict[str, float]:
    """Return the ring correlation of two halves: of complex images where both know them, of phases in the middle."""
    first, second = (solve(scan.part(half)) for half in halves(scan.positions))
    found = compare(first, second.object_, second.origin, reference_coverage=second.coverage)
    return {
        "frc_half": found.frc_half,
        "frc_half_bit": found.frc_half_bit,
        "phase_frc_half": fourier_ring_correlation(*middle_phases(found)).crossing(0.5),
    }


def middle_phases(found: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Return the phases of image and reference in the middle of the region that was compared, rad."""
    box = tuple(slice((s.start + s.stop - CENTRE) // 2, (s.start + s.stop + CENTRE) // 2) for s in found.rectangle)
    image, reference = found.aligned.image[box], found.reference[box]
    turn = np.exp(-1j * np.angle(reference.mean()))
    return np.angle(image * turn), np.angle(reference * turn)
