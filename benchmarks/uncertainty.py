"""How often the true error lies within the standard deviation that a reconstruction claims: 68 % would be right.

    python benchmarks/uncertainty.py [--objects NAME ...] [--photons N ...] [--positions N] [--scans N] [--seed N]
                                     [--out FILE]

A small network (preset "quick") learns from one simulated scan of every object and dose (N = 64), and other objects of
the same kind are reconstructed by it, alone and with at most 20 iterations. The coverage is the share of pixels whose
error, after alignment and where `ptycho compare` judges, is below the deviation that the self-check gives, over all
pixels of all scans, and the lowest and highest of one scan; beside it the root mean squares of all errors and of all
deviations. Some minutes on one core.
"""

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict
from ptycho.config.preset import read_preset
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.fit import fit

HEADERS = [
    "object",
    "photons",
    "result",
    "amplitude",
    "of scans",
    "rms",
    "claimed",
    "phase",
    "of scans ",
    "rms ",
    "claimed ",
]


def trained(choices: Simulation, seed: int) -> PtychoPINN:
    """Return a network that has learnt from a scan."""
    preset = read_preset("quick")
    execution = from_dict(preset.pop("execution") | {"enable_checkpointing": False}, PyTorchExecutionConfig)
    config = from_dict(preset, TrainingConfig)
    with tempfile.TemporaryDirectory() as folder:
        config.output_dir = Path(folder)
        return fit(config, execution, simulate(choices, np.random.default_rng(seed))).pinn


def judged(pinn: PtychoPINN, choices: Simulation, iterations: int, seed: int) -> list[np.ndarray]:
    """Reconstruct another object of the same kind; return errors and deviations (2, pixel), of amplitude and phase."""
    scan = simulate(choices, np.random.default_rng(seed))
    made = reconstruct(
        pinn, scan, device=resolve_device("auto"), refinement=Refinement(iterations=iterations), check=True
    )
    found = compare(made.final, scan.object_)
    first = np.round(found.origin - made.final.origin).astype(int)
    box = tuple(slice(start, start + n) for start, n in zip(first, found.mask.shape, strict=True))
    # The deviation is of the amplitude as it was found, and a factor on it is free.
    of_amplitude = made.check.amplitude_deviation[box] / found.aligned.scale
    pairs = (
        (np.abs(found.aligned.image) - np.abs(found.reference), of_amplitude),
        (np.angle(found.aligned.image * found.reference.conj()), made.check.phase_deviation[box]),
    )
    known = found.mask & np.isfinite(of_amplitude)
    return [np.stack([error[known], deviation[known]]) for error, deviation in pairs]


def row(pinn: PtychoPINN, choices: Simulation, iterations: int, seeds: range) -> list[str]:
    """Hold the errors of reconstructed scans against their deviations."""
    scans = [judged(pinn, choices, iterations, seed) for seed in seeds]
    scores = []
    for each in zip(*scans, strict=True):
        shares = [np.mean(np.abs(error) < deviation) for error, deviation in each]
        together = np.concatenate(each, axis=1)
        inside = np.mean(np.abs(together[0]) < together[1])
        scores += [f"{inside:.3f}", f"{min(shares):.2f}-{max(shares):.2f}"]
        scores += [f"{rms:.4f}" for rms in np.sqrt(np.mean(together**2, axis=1))]
    return [
        choices.object,
        f"{choices.photons:.0e}",
        f"{iterations} iterations" if iterations else "network",
        *scores,
    ]


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="+", default=["lines", "dead_leaves"])
    parser.add_argument("--photons", nargs="+", type=float, default=[1e4, 1e5, 1e6])
    parser.add_argument("--positions", type=int, default=128)
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    for name in asked.objects:
        for photons in asked.photons:
            choices = Simulation(object=name, photons=photons, n_positions=asked.positions)
            pinn = trained(choices, asked.seed)
            seeds = range(asked.seed + 1, asked.seed + 1 + asked.scans)
            rows += [row(pinn, choices, iterations, seeds) for iterations in (0, 20)]
            print(*rows[-2:], sep="\n", flush=True)
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{torch.get_num_threads()} threads on {resolve_device('auto')}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}; {time.strftime('%Y-%m-%d')}\n"
        f"coverage of 68 % intervals, and root mean squares of errors and deviations; phase in rad\n\n"
        f"{text_table(HEADERS, rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


if __name__ == "__main__":
    main()
