"""What few photons allow: the network alone, the iterations with and without a prior, and maximum likelihood.

    python benchmarks/lowdose.py [--doses 1e2 1e3 1e4 1e5 1e6] [--objects lines dead_leaves siemens picture]
                                 [--seeds 1] [--epochs 60] [--n_positions 256] [--iterations 20] [--out FILE]

For every dose (mean counts of a frame), object and seed a scan is simulated and a network trained on it with the preset
for low dose. "maximum likelihood" starts from the truth and knows the true probe, as all methods do here. All choices of
the other methods are made from the counts alone.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from reconstruction import machine, score

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict
from ptycho.config.preset import read_preset
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.report.tables import text_table
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.reconstruct import maximum_likelihood, reconstruct
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.fit import fit

DOSES = ("1e2", "1e3", "1e4", "1e5", "1e6")
METHODS = ("maximum likelihood", "network alone", "+ iterations, no prior", "+ iterations", "flat start, 50 iterations")
FLAT_START_ITERATIONS = 50
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
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    for dose in asked.doses:
        for name in asked.objects:
            choices = Simulation(object=name, photons=float(dose), n_positions=asked.n_positions)
            found = [methods(choices, seed, asked.epochs, asked.iterations) for seed in range(asked.seeds)]
            scores = [f"{median(method)}" for method in zip(*(each[0] for each in found), strict=True)]
            rows.append([dose, name, *scores, f"{sum(kept for _, kept in found)} of {len(found)}"])
            print(*rows[-1], sep="  ", flush=True)
    report = (
        f"$ {' '.join(['python', *map(str, sys.argv)])}\n"
        f"{machine(DEVICE)}; {time.strftime('%Y-%m-%d')}\n"
        f"medians of {asked.seeds} seeds; PSNR of amplitude / phase, dB, peak 1 and 1 rad\n\n"
        f"{text_table(['photons', 'object', *METHODS, 'network kept'], rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


def methods(choices: Simulation, seed: int, epochs: int, iterations: int) -> tuple[list[Score], bool]:
    """Return the score of every method on one scan, and whether the last one kept the network's object."""
    scan = simulate(choices, np.random.default_rng(seed))
    pinn = trained(scan, seed, epochs)
    likely, best = (
        reconstruct(pinn, scan, device=DEVICE, refinement=Refinement(iterations, total_variation=strength))
        for strength in (0.0, Refinement().total_variation)
    )
    flat = iterate(scan, device=DEVICE, refinement=Refinement(FLAT_START_ITERATIONS))
    limit = maximum_likelihood(scan, device=DEVICE)
    found = [limit, best.stitched, likely.final, best.final, flat.final]
    return [score(each, scan) for each in found], best.network_kept


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
