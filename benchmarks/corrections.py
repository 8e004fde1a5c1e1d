"""Positions and a probe that the scan has wrong, and what the likelihood iterations make of them without a network.

    python benchmarks/corrections.py [--seeds 5] [--positions 512] [--iterations 150] [--photons 1e5]
        [--out FILE]

Simulated scans of lines, 64 x 64 px, from a transparent object. Positions: normal errors of 3 px
rms (y and x together), known probe; the error is the rms distance from the true ones less the shift that all share.
Probe: a zone plate 30 % out of focus, known positions; the error is ||P - truth|| / ||truth|| after the factor, the
shift and the phase ramp that no scan can tell. About four minutes a seed on two quiet cores, seconds on a GPU.
"""

import argparse
import dataclasses
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.arrays import Positions, Probe
from ptycho.base.atomic import write_text
from ptycho.config.refinement import Refinement, Span
from ptycho.metrics.align import align
from ptycho.metrics.image import complex_nrmse
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.probes import PUPIL_RADIUS
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.iterate import iterate

PHOTONS = 1e5
ERROR = 3.0  # px rms
OUT_OF_FOCUS = 0.3
POSITIONS_FROM, PROBE_FROM = Span(5, 100), Span(5)
HEADERS = ["wrong", "iterations", "error before", "after", "worst seed", "object dB", "phase dB", "s"]


@dataclass(frozen=True)
class Found:
    """Error of what was wrong before and after, PSNR of amplitude and phase of the object (dB), and seconds."""

    before: float
    after: float
    amplitude: float
    phase: float
    seconds: float


def misplaced(scan: Acquisition, error: float, rng: np.random.Generator) -> Acquisition:
    """Return the scan with normal errors in its positions, px rms in y and x together."""
    errors = rng.normal(size=scan.positions.shape) * error / np.sqrt(2)
    return dataclasses.replace(scan, positions=scan.positions + errors)


def out_of_focus(probe: Probe, share: float) -> Probe:
    """Return a zone plate's probe with its defocus changed by a share of what it has."""
    turns = np.fft.fftfreq(probe.shape[-1])
    radius = np.hypot(turns[:, None], turns) / PUPIL_RADIUS
    defocus = np.pi * PUPIL_RADIUS * probe.shape[-1] / 4
    moved: Probe = np.fft.ifft2(np.fft.fft2(probe) * np.exp(1j * share * defocus * radius**2)).astype(np.complex64)
    return moved


def position_error(found: Positions, truth: Positions) -> float:
    """Return the rms distance from the true positions, px, less the shift that all share."""
    off = found - truth
    return float(np.sqrt(np.mean(np.sum((off - off.mean(axis=0)) ** 2, axis=1))))


def probe_error(found: Probe, truth: Probe) -> float:
    """Return the relative distance of the main mode from the true one, less what no scan can tell."""
    everywhere = np.ones(truth.shape[1:], dtype=bool)
    laid = align(found[0].astype(complex), truth[0].astype(complex), everywhere)
    return complex_nrmse(laid.image, truth[0], everywhere)


def solved(
    name: str, seed: int, device: torch.device, n_positions: int, iterations: int, photons: float = PHOTONS
) -> Found:
    """Return what iterations make of a scan with wrong positions, of one with a wrong probe, or of a true one."""
    kind = "aperture" if "positions" in name else "zone_plate"
    choices = Simulation(N=64, n_positions=n_positions, photons=photons, probe=kind)
    truth = simulate(choices, np.random.default_rng(seed))
    scan = truth
    if "wrong positions" in name:
        scan = misplaced(scan, ERROR, np.random.default_rng(1000 + seed))
    if "wrong probe" in name:
        scan = dataclasses.replace(scan, probe=out_of_focus(scan.probe, OUT_OF_FOCUS))
    corrected = "corrected" in name
    refinement = Refinement(
        iterations,
        positions=POSITIONS_FROM if corrected and "positions" in name else None,
        probe=PROBE_FROM if corrected and "probe" in name else None,
    )
    started = time.perf_counter()
    result = iterate(scan, device=device, refinement=refinement).final
    seconds = time.perf_counter() - started
    agreement = compare(result, truth.object_)
    if "positions" in name:
        used = result.positions if result.corrected_positions is None else result.corrected_positions
        errors = (position_error(scan.positions, truth.positions), position_error(used, truth.positions))
    else:
        errors = (probe_error(scan.probe, truth.probe), probe_error(result.probe, truth.probe))
    return Found(*errors, agreement.amplitude_psnr, agreement.phase_psnr, seconds)


CASES = (
    "true positions",
    "true positions, corrected",
    "wrong positions",
    "wrong positions, corrected",
    "true probe",
    "true probe, corrected",
    "wrong probe",
    "wrong probe, corrected",
)


def corrections(
    seeds: int, n_positions: int, iterations: int, photons: float, device: torch.device
) -> dict[str, list[Found]]:
    """Return what became of every case with every seed, told on stderr as it comes."""
    found: dict[str, list[Found]] = {name: [] for name in CASES}
    for seed in range(seeds):
        for name, results in found.items():
            results.append(solved(name, seed, device, n_positions, iterations, photons))
            print(f"seed {seed}, {name}: {results[-1]}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--photons", type=float, default=PHOTONS)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    device = resolve_device("auto")
    rows = [
        [
            name,
            f"{asked.iterations}",
            f"{median(each.before for each in found):.3f}",
            f"{median(each.after for each in found):.3f}",
            f"{max(each.after for each in found):.3f}",
            f"{median(each.amplitude for each in found):.1f}",
            f"{median(each.phase for each in found):.1f}",
            f"{median(each.seconds for each in found):.1f}",
        ]
        for name, found in corrections(asked.seeds, asked.positions, asked.iterations, asked.photons, device).items()
    ]
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{machine}; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}; "
        f"{time.strftime('%Y-%m-%d')}\n"
        f"{asked.seeds} seeds, medians; {asked.positions} frames of {asked.photons:.0e} photons; errors of positions "
        f"in px rms, of the probe relative; PSNR with peak 1 and 1 rad\n\n{text_table(HEADERS, rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


if __name__ == "__main__":
    main()
