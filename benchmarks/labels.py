"""Which true patch explains the counts of a position: interpolated, or cut at whole pixels with the probe moved.

    python benchmarks/labels.py [--scans FOLDER]

Prints the mean Poisson deviance a pixel (about 1 for the truth, less where pixels are empty) of scans with the true
probe: simulated ones (N = 64, 1e6 photons a frame), and with FOLDER those of another simulator (lines_train.npz).
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.assembly.bilinear import cut
from ptycho.optics.propagate import expected_counts
from ptycho.optics.shift import fourier_shift
from ptycho.report.tables import text_table
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.objectives.poisson import poisson_deviance

MARGIN = 16  # px cut beyond a patch, so that what a Fourier shift carries around its edge stays outside


def patches_of(scan: Acquisition) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (probe, patches) for every way of cutting."""
    assert scan.object_ is not None
    whole = np.floor(scan.positions)
    remainder = scan.positions - whole
    wide = cut(scan.object_, whole, scan.size + 2 * MARGIN)
    inside = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    moved_probe = fourier_shift(scan.probe[None].astype(np.complex128), remainder[:, None])
    return {
        "nearest pixel": (scan.probe, cut(scan.object_, np.rint(scan.positions), scan.size)),
        "bilinear": (scan.probe, cut(scan.object_, scan.positions, scan.size)),
        "band-limited (Fourier)": (scan.probe, fourier_shift(wide, -remainder)[inside]),
        "whole pixels, probe moved": (moved_probe, wide[inside]),
    }


def deviance(scan: Acquisition, probe: np.ndarray, patches: np.ndarray) -> float:
    """Return the mean deviance a pixel, after the one factor between the counts expected and measured is solved."""
    expected, measured = expected_counts(probe, patches), scan.counts().astype(np.float64)
    expected = expected * (measured.sum() / expected.sum())
    return float(poisson_deviance(torch.as_tensor(expected), torch.as_tensor(measured)).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path)
    folder = parser.parse_args().scans
    scans = {name: simulate(Simulation(object=name, n_positions=256), np.random.default_rng(0)) for name in OBJECTS}
    if folder is not None:
        scans["lines, another simulator"] = read(folder / "lines_train.npz")
    rows = []
    for name, scan in scans.items():
        cuts = patches_of(scan)
        rows.append([name, *(f"{deviance(scan, *made):.2f}" for made in cuts.values())])
    print(text_table(["object", *cuts], rows))


if __name__ == "__main__":
    main()
