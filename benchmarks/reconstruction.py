"""Quality and time of the main job: train, stitch, refine, beside the limit that photons set.

    python benchmarks/reconstruction.py [--scans FOLDER] [--seeds 3] [--epochs 60] [--gridsize 1] [--out FILE]

Without FOLDER (simulated scans with truth: lines_train.npz and lines_test_newobj.npz) the scans are simulated: the
network learns from one object and is scored on it and on another that it has not seen.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import maximum_likelihood, reconstruct
from ptycho_torch.training.fit import fit

ITERATIONS = (10, 20)


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--architecture", choices=["lean", "unrolled"], default="lean")
    parser.add_argument("--lean_width", type=int, default=32)
    parser.add_argument("--gridsize", type=int, default=1)
    parser.add_argument("--canvas_size", type=int, default=64)
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    scans = load(asked.scans)
    device = resolve_device("auto")
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    seconds, rates = [], []
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as folder:
            config = TrainingConfig(
                ModelConfig(
                    N=scans["trained on"].size,
                    architecture=asked.architecture,
                    lean_width=asked.lean_width,
                    gridsize=asked.gridsize,
                ),
                nepochs=asked.epochs,
                batch_size=asked.batch_size,
                canvas_size=asked.canvas_size,
                subsample_seed=seed,
                output_dir=Path(folder),
            )
            execution = PyTorchExecutionConfig(precision=asked.precision, enable_checkpointing=False)
            done = fit(config, execution, scans["trained on"])
        seconds.append(done.seconds)
        rates.append(done.n_patterns / done.seconds)
        for name, scan in scans.items():
            for iterations in ITERATIONS:
                result = reconstruct(done.pinn, scan, device=device, refinement=Refinement(iterations))
                scores.setdefault((name, f"network + {iterations}"), []).append(score(result.final, scan))
            scores.setdefault((name, "network alone"), []).append(score(result.stitched, scan))
    for name, scan in scans.items():
        scores[name, "limit (likelihood from the truth)"] = [score(maximum_likelihood(scan, device=device), scan)]
    rows = [
        [
            name,
            method,
            *(statistics.median(s[i] for s in found) for i in (0, 1)),
            min(s[0] for s in found),
            min(s[1] for s in found),
        ]
        for (name, method), found in sorted(scores.items())
    ]
    headers = ["object", "method", "amplitude dB", "phase dB", "worst seed", "worst seed (phase)"]
    report = (
        f"$ {' '.join(['python', *map(str, sys.argv)])}\n"
        f"{machine(device)}\n"
        f"{asked.seeds} seeds, medians; PSNR with peak 1 and 1 rad; training {statistics.median(seconds):.0f} s, "
        f"{statistics.median(rates):.0f} patterns/s; {time.strftime('%Y-%m-%d')}\n\n{text_table(headers, rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


def load(folder: Path | None) -> dict[str, Acquisition]:
    """Return the scan to learn from and one of another object."""
    if folder is None:
        return {
            "trained on": simulate(Simulation(), np.random.default_rng(0)),
            "unseen": simulate(Simulation(), np.random.default_rng(1)),
        }
    return {"trained on": read(folder / "lines_train.npz"), "unseen": read(folder / "lines_test_newobj.npz")}


def score(reconstruction: Reconstruction, scan: Acquisition) -> tuple[float, float]:
    """Return the PSNR of amplitude and phase over the region that the scan covers, less the ambiguities."""
    found = compare(reconstruction, scan.object_)
    return found.amplitude_psnr, found.phase_psnr


def machine(device: torch.device) -> str:
    """Return a line about the machine and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads of CPU"
    return f"{name}; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"


if __name__ == "__main__":
    main()
