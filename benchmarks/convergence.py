"""How near to converged maximum likelihood a few iterations come, and how fast long waves of the phase do.

    python benchmarks/convergence.py [--out FILE]

Simulated scans of 200 patterns of 64 x 64 px. Iterations begin from what a network might say (the true object blurred
by 1 px, with errors of its phase of 0.15 rad rms and of its amplitude of 5 % in waves of tens of px and longer) and
from a flat object, with the true probe and the prior that `ptycho reconstruct` has; the last column is without it.
An iteration is one evaluation of likelihood and gradient over all frames and one of the curvature along a direction.
Some minutes on one core.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.arrays import Object
from ptycho.base.atomic import write_text
from ptycho.config.refinement import Refinement
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.reconstruct import maximum_likelihood

CPU = torch.device("cpu")
CASES = tuple(
    Simulation(object_, probe, n_positions=200, photons=photons, overlap=overlap)
    for object_, probe, photons, overlap in (
        ("dead_leaves", "aperture", 1e5, 0.6),
        ("dead_leaves", "aperture", 1e6, 0.6),
        ("dead_leaves", "aperture", 1e9, 0.75),
        ("dead_leaves", "zone_plate", 1e5, 0.6),
        ("dead_leaves", "zone_plate", 1e6, 0.75),
        ("picture", "zone_plate", 1e6, 0.75),
        ("siemens", "aperture", 1e9, 0.75),
        ("lines", "zone_plate", 1e9, 0.75),
    )
)
ITERATIONS = (0, 5, 10, 20)
HEADERS = ["object", "probe", "photons", "overlap", "ML", "from", *map(str, ITERATIONS), "20, no prior"]
SHORTEST = 16.0  # px, waves of an error


def as_a_network(truth: Object, rng: np.random.Generator) -> Object:
    """Return an object with the errors that networks make: fine detail is lost, and long waves are wrong."""
    frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, truth.shape), indexing="ij"))
    frequency[0, 0] = np.inf
    spectrum = np.exp(-np.square(SHORTEST / 2 * frequency)) / frequency

    def waves() -> np.ndarray:
        field = np.fft.ifft2(np.fft.fft2(rng.standard_normal(truth.shape)) * spectrum).real
        return field / field.std()

    blurred = gaussian_filter(truth.real, 1.0) + 1j * gaussian_filter(truth.imag, 1.0)
    return (blurred * np.exp(0.15j * waves()) * (1 + 0.05 * waves())).astype(np.complex64)


def rows(choices: Simulation) -> list[list[str]]:
    """Return a row for each start: amplitude / phase PSNR of the likelihood solution and after some iterations."""
    scan = simulate(choices, np.random.default_rng(0))

    def score(found: Reconstruction) -> str:
        compared = compare(found, scan.object_)
        return f"{compared.amplitude_psnr:.1f} / {compared.phase_psnr:.1f}"

    best = score(maximum_likelihood(scan, device=CPU))
    what = [choices.object, choices.probe, f"{choices.photons:.0e}", f"{choices.overlap:g}", best]
    return [
        [*what, name, *(score(after(n, 1.0)) for n in ITERATIONS), score(after(ITERATIONS[-1], 0.0))]
        for name, after in (("network", from_start(scan, as_network(scan))), ("flat", from_start(scan, None)))
    ]


def as_network(scan: Acquisition) -> Reconstruction:
    """Return what a network might have made of a simulated scan."""
    object_ = as_a_network(scan.object_, np.random.default_rng(1))
    coverage = np.ones(object_.shape, dtype=np.float32)
    return Reconstruction(object_, coverage, np.zeros(2), scan.probe, scan.positions)


def from_start(scan: Acquisition, start: Reconstruction | None) -> Callable[[int, float], Reconstruction]:
    """Return (number of iterations, strength of the prior) -> what they make of a start."""

    def after(iterations: int, strength: float) -> Reconstruction:
        refinement = Refinement(iterations, total_variation=strength)
        return iterate(scan, device=CPU, refinement=refinement, start=start).final

    return after


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    lines = [line for choices in CASES for line in rows(choices)]
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{torch.get_num_threads()} threads of CPU; Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {np.__version__}; {time.strftime('%Y-%m-%d')}\n"
        f"one seed; PSNR of amplitude / phase in dB, peak 1 and 1 rad\n\n{text_table(HEADERS, lines)}\n"
    )
    print(report)
    if out:
        write_text(out, report)


if __name__ == "__main__":
    main()
