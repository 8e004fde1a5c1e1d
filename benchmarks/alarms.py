"""How often the self-check calls a scan suspicious, sound or not, with and without letting its object go of the prior.

    python benchmarks/alarms.py [--objects NAME ...] [--photons N ...] [--overlaps X ...] [--scans N] [--seed N]
                                [--out FILE]

Scans of 100 frames of 32 x 32 px are reconstructed by 40 iterations from a transparent object: as they are, with
positions that are wrong by normal errors of 1 px, and with a defocused probe (60 rad times the square of the frequency
in cycles a pixel). Of every kind: how often the misfit alone is above its limit, and how often the verdict is that the
scan as a whole does not fit, after the object was let go of the prior where that was in doubt. Ten minutes on one core.
"""

import argparse
import dataclasses
import logging
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch
from corrections import misplaced
from torch import Tensor, nn

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.atomic import write_text
from ptycho.config.refinement import Refinement
from ptycho.metrics.self_check import IN_DOUBT, SelfCheck
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.pinn.pinn import PtychoPINN

KINDS = ("sound", "moved", "defocus")
HEADERS = ["object", "photons", "overlap", *(f"{kind}: {what}" for kind in KINDS for what in ("misfit", "verdict"))]


class Transparent(nn.Module):
    """A network that sees nothing: all is left to the iterations."""

    def forward(self, images: Tensor) -> Tensor:
        """Return transparent patches."""
        return torch.ones_like(images, dtype=torch.complex64)


def checked(scan: Acquisition) -> SelfCheck:
    """Return what a scan says of itself after iterations from a transparent object."""
    scale = scan.size / 2 / float(scan.counts_per_frame().mean()) ** 0.5
    pinn = PtychoPINN(Transparent(), torch.from_numpy(scan.probe), scale, back_projected=False)
    check = reconstruct(pinn, scan, device=resolve_device("auto"), refinement=Refinement(40), check=True).check
    assert check is not None
    return check


def spoilt(scan: Acquisition, kind: str, rng: np.random.Generator) -> Acquisition:
    """Return a scan with one thing wrong with all its frames, or as it is."""
    if kind == "moved":
        return misplaced(scan, 2**0.5, rng)
    if kind == "defocus":
        turns = np.fft.fftfreq(scan.size)
        spectrum = np.fft.fft2(scan.probe) * np.exp(60j * np.hypot(turns[:, None], turns) ** 2)
        return dataclasses.replace(scan, probe=np.fft.ifft2(spectrum).astype(np.complex64))
    return scan


def row(choices: Simulation, seeds: range) -> list[str]:
    """Count alarms of every kind."""
    cells = []
    for kind in KINDS:
        found = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            found.append(checked(spoilt(simulate(choices, rng), kind, rng)))
        alarms = [check.misfit > IN_DOUBT for check in found], [check.wrong_model for check in found]
        cells += [f"{sum(told)}/{len(seeds)}" for told in alarms]
    return [choices.object, f"{choices.photons:.0e}", f"{choices.overlap}", *cells]


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="+", default=["dead_leaves"])
    parser.add_argument("--photons", nargs="+", type=float, default=[1e3, 1e4, 1e6])
    parser.add_argument("--overlaps", nargs="+", type=float, default=[0.6, 0.8, 0.9, 0.95])
    parser.add_argument("--scans", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    # That this network does not know such scans is no news.
    logging.getLogger("ptycho_torch").setLevel(logging.ERROR)
    seeds, rows = range(asked.seed, asked.seed + asked.scans), []
    for name in asked.objects:
        for photons in asked.photons:
            for overlap in asked.overlaps:
                choices = Simulation(N=32, n_positions=100, object=name, photons=photons, overlap=overlap)
                rows.append(row(choices, seeds))
                print(rows[-1], flush=True)
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{torch.get_num_threads()} threads on {resolve_device('auto')}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}; {time.strftime('%Y-%m-%d')}\n"
        f"alarms of {asked.scans} scans: misfit above {IN_DOUBT}, and the verdict\n\n"
        f"{text_table(HEADERS, rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


if __name__ == "__main__":
    main()
