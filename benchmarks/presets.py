"""Time and quality of every preset of `ptycho train`, on simulated scans whose truth is known.

    python benchmarks/presets.py [--out FILE]

Every preset learns from a well exposed scan (512 patterns of 64 x 64 px, 1e6 photons a frame), and "balanced" and
"low-dose" from a dim one too (3e3 photons). Scored are the network alone, and the object after at most 20 iterations.
About ten minutes on two quiet cores.
"""

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict
from ptycho.config.preset import Preset, read_preset
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.training.fit import fit

BRIGHT, DIM = 1e6, 3e3
HEADERS = ["preset", "photons", "training s", "patterns/s", "network dB", "phase dB", "refined dB", "phase dB "]


def row(preset: Preset, photons: float) -> list[str]:
    """Train with a preset on a scan of so many photons a frame, and score it."""
    scan = simulate(Simulation(photons=photons), np.random.default_rng(0))
    choices = read_preset(preset)
    execution = from_dict(choices.pop("execution", {}) | {"enable_checkpointing": False}, PyTorchExecutionConfig)
    config = from_dict(choices, TrainingConfig)
    with tempfile.TemporaryDirectory() as folder:
        config.output_dir = Path(folder)
        done = fit(config, execution, scan)
    result = reconstruct(done.pinn, scan, device=resolve_device("auto"), refinement=Refinement(20))
    found = [compare(each, scan.object_) for each in (result.stitched, result.final)]
    scores = [f"{score:.2f}" for each in found for score in (each.amplitude_psnr, each.phase_psnr)]
    return [preset, f"{photons:.0e}", f"{done.seconds:.0f}", f"{done.n_patterns / done.seconds:.0f}", *scores]


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    rows = [row(preset, BRIGHT) for preset in get_args(Preset)] + [row(name, DIM) for name in ("balanced", "low-dose")]
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{torch.get_num_threads()} threads on {resolve_device('auto')}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}; {time.strftime('%Y-%m-%d')}\n"
        f"one seed; PSNR of amplitude with peak 1, of phase with peak 1 rad\n\n{text_table(HEADERS, rows)}\n"
    )
    print(report)
    if out:
        write_text(out, report)


if __name__ == "__main__":
    main()
