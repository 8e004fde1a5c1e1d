"""How fast a measured scan turns into an image: R-factor against CPU seconds, ours and pty-chi's LSQML in one run.

    python benchmarks/siemens.py FILE [--threads 1] [--out FILE]

FILE is siemens_star.npz. All start from a flat object and the file's analytic probe and refine both on the same frames.
The clock holds what makes the image and not what scores it. Then two halves of the scan are solved alike: the ring
correlation between them, of complex images and of phases in the middle, tells consistency at half the dose.
Without pty-chi (extra "baseline") its rows are left out.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import iterative_baseline
import torch
from quality import machine
from quality_measured import agreement

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.atomic import write_text
from ptycho.config.refinement import Refinement, Span
from ptycho.report.tables import Cell, text_table
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.iterate import iterate

OURS = {
    "4 coarse passes, 2 passes": Refinement(probe=Span(), coarse_passes=4, passes=2),
    "8 coarse passes, 8 passes": Refinement(probe=Span(), coarse_passes=8, passes=8),
    "6 + 6, probe of 3 modes": Refinement(probe=Span(), coarse_passes=6, passes=6, n_modes=3),
    "8 + 8, probe of 2 modes": Refinement(probe=Span(), coarse_passes=8, passes=8, n_modes=2),
    "8 + 8, probe of 3 modes": Refinement(probe=Span(), coarse_passes=8, passes=8, n_modes=3),
    "30 iterations": Refinement(30, probe=Span(), total_variation=0.0),
}
EPOCHS = (5, 10, 20, 30, 40)
HEADERS = ["method", "CPU s", "s", "R", "FRC .5", "phase FRC .5"]


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    device = resolve_device("auto")
    scan = read(asked.file)
    rows = []
    for name, refinement in OURS.items():
        rows.append(ours(scan, name, refinement, device))
        print(*rows[-1], sep=", ", file=sys.stderr, flush=True)
    if iterative_baseline.is_installed():
        rows += theirs(scan, device)
    report = f"$ {' '.join(['python', *map(str, sys.argv)])}\n{machine(device)}\n\n{text_table(HEADERS, rows)}\n"
    print(report)
    if asked.out:
        write_text(asked.out, report)


def ours(scan: Acquisition, name: str, refinement: Refinement, device: torch.device) -> list[Cell]:
    """Return the row of one way to iterate."""

    def solve(part: Acquisition) -> Reconstruction:
        return iterate(part, device=device, refinement=refinement).final

    began, cpu_began = time.perf_counter(), time.process_time()
    found = solve(scan)
    times = [time.process_time() - cpu_began, time.perf_counter() - began]
    return [name, *times, *scored(scan, found, solve, device)]


def theirs(scan: Acquisition, device: torch.device) -> list[list[Cell]]:
    """Return the rows of pty-chi's LSQML after some epochs; the halves are solved with as many as its last row has."""

    def run(part: Acquisition) -> list[iterative_baseline.Snapshot]:
        return iterative_baseline.after_epochs("LSQML", part, EPOCHS, device=device, refine_probe=True)

    rows: list[list[Cell]] = []
    for at in run(scan):
        r_factor = iterative_baseline.r_factor(scan, at.reconstruction, device=device)
        rows.append([f"pty-chi LSQML, {at.epochs} epochs", at.cpu_seconds, at.seconds, r_factor, None, None])
    found = agreement(scan, lambda part: run(part)[-1].reconstruction)
    rows[-1][-2:] = [found["frc_half"], found["phase_frc_half"]]
    return rows


def scored(
    scan: Acquisition,
    found: Reconstruction,
    solve: Callable[[Acquisition], Reconstruction],
    device: torch.device,
) -> list[Cell]:
    """Return R-factor over all frames, and where the correlation of two halves falls below 0.5, of Nyquist."""
    halves = agreement(scan, solve)
    r_factor = iterative_baseline.r_factor(scan, found, device=device)
    return [r_factor, halves["frc_half"], halves["phase_frc_half"]]


if __name__ == "__main__":
    main()
