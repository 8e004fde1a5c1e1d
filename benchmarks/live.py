"""What `--live` costs a training: the same run with and without a page that somebody looks at, in turns.

    python benchmarks/live.py [--pairs 6] [--epochs 6] [--out FILE]

A run takes about 15 s on two quiet cores. The viewer is another process, as a browser is, and asks as one does: the
state, and both pictures whenever there are others. On a busy machine the CPU seconds say more than those of the clock.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.live.server import live_page
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.training.fit import fit

HEADERS = ["pair", "s without", "s with --live", "ratio", "CPU s without", "CPU s with", "CPU ratio", "pictures"]
ADDRESS = "127.0.0.1:8643"
VIEWER = """
import json, sys, urllib.request
ask = lambda path: urllib.request.urlopen(sys.argv[1] + path).read()
state, seen = json.loads(ask("state.json")), 0
while state["outcome"] == "running":
    if state["picture"] != seen:
        seen = state["picture"]
        ask("amplitude.png"), ask("phase.png")
    state = json.loads(ask("state.json?wait"))
print(json.dumps(seen))
"""


def run(scan: Acquisition, epochs: int, *, live: bool) -> tuple[float, float, int]:
    """Return the seconds of a training, the CPU seconds of it and its page, and the pictures that were looked at."""
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(ModelConfig(N=scan.size), nepochs=epochs, output_dir=Path(folder))
        execution = PyTorchExecutionConfig(enable_checkpointing=False)
        if not live:
            return fit(config, execution, scan).seconds, time.process_time() - begun, 0
        with live_page(ADDRESS, "benchmark") as page:
            viewer = subprocess.Popen([sys.executable, "-c", VIEWER, f"http://{ADDRESS}/"], stdout=subprocess.PIPE)
            seconds = fit(config, execution, scan, watcher=page).seconds
        seen, _ = viewer.communicate()
        return seconds, time.process_time() - begun, json.loads(seen)


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    scan = simulate(Simulation(), np.random.default_rng(0))
    run(scan, 1, live=True)
    pairs = []
    for pair in range(asked.pairs):
        # Each comes first in every second pair.
        first = bool(pair % 2)
        found = {live: run(scan, asked.epochs, live=live) for live in (first, not first)}
        pairs.append((*found[False][:2], *found[True]))
    timed = [(off, on, on / off, cpu, cpu_on, cpu_on / cpu, seen) for off, cpu, on, cpu_on, seen in pairs]
    timed.append(tuple(map(statistics.median, zip(*timed, strict=True))))
    names = [*map(str, range(1, len(timed))), "median"]
    rows = [[name, *(f"{value:.4g}" for value in values)] for name, values in zip(names, timed, strict=True)]
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{torch.get_num_threads()} threads of CPU; Python {platform.python_version()}, torch {torch.__version__}; "
        f"{time.strftime('%Y-%m-%d')}\n\n"
        f"{text_table(HEADERS, rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


if __name__ == "__main__":
    main()
