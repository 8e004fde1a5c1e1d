"""What few photons allow: the network alone, the iterations with and without a prior, and maximum likelihood.

    python benchmarks/lowdose.py [--doses 1e2 1e3 1e4 1e5 1e6] [--objects lines dead_leaves siemens picture]
                                 [--seeds 1] [--epochs 60] [--n_positions 256] [--workers 1]
                                 [--out FILE]

For every dose (mean counts of a frame), object and seed a scan is simulated and a network trained on it with the preset
for low dose. "maximum likelihood" starts from the truth; all methods know the true probe, and make all their choices
from the counts alone. The last column says which share of the network's object the photons that nobody saw
chose for 20 and for 50 iterations.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
from quality import machine

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict
from ptycho.config.preset import read_preset
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.reconstruct import maximum_likelihood, reconstruct
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.fit import fit

DOSES = ("1e2", "1e3", "1e4", "1e5", "1e6")
METHODS = ("maximum likelihood", "network alone", "+ 20, no prior", "+ 20", "+ 50", "flat + 50")
FEW, MANY = 20, 50
CHOICE = "shares of the network"
DEVICE = resolve_device("auto")

Score = tuple[float, float]


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--doses", nargs="+", default=DOSES)
    parser.add_argument("--objects", nargs="+", default=tuple(OBJECTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--n_positions", type=int, default=256)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    cases = [(dose, name) for dose in asked.doses for name in asked.objects]
    with ProcessPoolExecutor(asked.workers, multiprocessing.get_context("spawn")) as pool:
        waiting = {case: pool.submit(row, *case, asked) for case in cases}
        for done in as_completed(waiting.values()):
            print(*done.result(), sep="  ", flush=True)
    report = (
        f"$ {' '.join(['python', *map(str, sys.argv)])}\n"
        f"{machine(DEVICE)}; {time.strftime('%Y-%m-%d')}\n"
        f"medians of {asked.seeds} seeds; PSNR of amplitude / phase, dB, peak 1 and 1 rad\n\n"
        f"{text_table(['photons', 'object', *METHODS, CHOICE], [waiting[case].result() for case in cases])}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


def row(dose: str, name: str, asked: argparse.Namespace) -> list[str]:
    """Return the scores of every method at one dose and on one object."""
    choices = Simulation(object=name, photons=float(dose), n_positions=asked.n_positions)
    found = [methods(choices, seed, asked.epochs) for seed in range(asked.seeds)]
    scores = [median(method) for method in zip(*(scores for scores, _ in found), strict=True)]
    return [dose, name, *scores, ", ".join(choice for _, choice in found)]


def methods(choices: Simulation, seed: int, epochs: int) -> tuple[list[Score], str]:
    """Return the score of every method on one scan, and how far the iterations trusted the network."""
    scan = simulate(choices, np.random.default_rng(seed))
    pinn = trained(scan, seed, epochs)
    few, many = Refinement(FEW), Refinement(MANY)
    likely, best, better = (
        reconstruct(pinn, scan, device=DEVICE, refinement=refinement)
        for refinement in (replace(few, total_variation=0.0), few, many)
    )
    flat = iterate(scan, device=DEVICE, refinement=many)
    limit = maximum_likelihood(scan, device=DEVICE, iterations=100)
    found = [limit, best.stitched, likely.final, best.final, better.final, flat.final]
    return [score(each, scan) for each in found], f"{best.network_weight:.2f} {better.network_weight:.2f}"


def score(reconstruction: Reconstruction, scan: Acquisition) -> Score:
    """Return the PSNR of amplitude and phase over the region that the scan covers, less the ambiguities."""
    found = compare(reconstruction, scan.object_)
    return found.amplitude_psnr, found.phase_psnr


def trained(scan: Acquisition, seed: int, epochs: int) -> PtychoPINN:
    """Return a network that was trained on a scan with the preset for low dose."""
    choices = read_preset("low-dose")
    execution = from_dict(choices.pop("execution", {}) | {"enable_checkpointing": False}, PyTorchExecutionConfig)
    config = from_dict(choices, TrainingConfig)
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, nepochs=epochs, subsample_seed=seed, output_dir=Path(folder))
        return fit(config, execution, scan).pinn


def median(scores: tuple[Score, ...]) -> str:
    """Return the medians of amplitude and phase, dB."""
    return " / ".join(f"{statistics.median(part):.1f}" for part in zip(*scores, strict=True))


if __name__ == "__main__":
    main()
