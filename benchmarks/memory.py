"""Forecast of memory, as `ptycho inspect` and `ptycho validate` make it, beside the peak of a training that was run.

    python benchmarks/memory.py [--epochs 2] [--out FILE]

Each forecast and each training is a process of its own that simulates its scan; the peak is the largest resident set,
by getrusage, and on a GPU that of PyTorch's allocator.
"""

import argparse
import json
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

# Name -> choices of the scan, of the model and of the training.
CONFIGURATIONS: dict[str, tuple[dict[str, int], dict[str, object], dict[str, object]]] = {
    "the defaults": ({}, {}, {}),
    "groups of four": ({}, {"gridsize": 2}, {}),
    "128 px, batch 64": ({"N": 128, "n_positions": 256}, {}, {"batch_size": 64}),
    "a longer scan": ({"n_positions": 8192}, {"lean_width": 8}, {"batch_size": 64}),
    "unrolled": ({"n_positions": 256}, {"architecture": "unrolled"}, {}),
    "the existing network": ({"n_positions": 128}, {"architecture": "cnn"}, {}),
}
FORECAST = "print(estimate(scan, config, execution).gibibytes)"
TRAINING = """
import resource, torch
fit(config, execution, scan)
cuda = torch.cuda.is_available()
print(torch.cuda.max_memory_allocated() / 2**30 if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
PROGRAM = """
import json, sys, tempfile
import numpy as np
from pathlib import Path
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.training.estimate import estimate
from ptycho_torch.training.fit import fit
of_scan, of_model, of_training = json.loads(sys.argv[1])
scan = simulate(Simulation(**of_scan), np.random.default_rng(0))
folder = tempfile.TemporaryDirectory()
config = TrainingConfig(ModelConfig(N=scan.size, **of_model), output_dir=Path(folder.name), **of_training)
execution = PyTorchExecutionConfig()
"""


def gibibytes(program: str, choices: tuple[dict[str, int], dict[str, object], dict[str, object]]) -> float:
    """Return what a program prints, run alone: a process begins with the peak of the one that started it."""
    words = [sys.executable, "-c", PROGRAM + program, json.dumps(choices)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    for name, (of_scan, of_model, of_training) in CONFIGURATIONS.items():
        choices = (of_scan, of_model, {**of_training, "nepochs": asked.epochs})
        forecast, peak = (gibibytes(program, choices) for program in (FORECAST, TRAINING))
        rows.append([name, f"{forecast:.3f}", f"{peak:.3f}", f"{forecast / peak - 1:+.1%}"])
        sys.stderr.write(f"{rows[-1]}\n")
    # No import before: the peak of this process would be the least that its children have.
    from ptycho.base.atomic import write_text
    from ptycho.report.tables import text_table

    report = (
        f"$ {shlex.join(['python', *sys.argv])}\n{platform.machine()}, Python {platform.python_version()}; "
        f"{time.strftime('%Y-%m-%d')}\n\n{text_table(['training', 'forecast GiB', 'peak GiB', 'off by'], rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


if __name__ == "__main__":
    main()
