"""How much faster several devices are, and whether they find the same: train, predict and stitch, iterate.

    python benchmarks/many.py [--devices 8] [--frames 100000] [--size 128] [--batch 4096] [--epochs 2]
                              [--iterations 20] [--out FILE]

One simulated scan, on 1, 2, ... devices: GPUs where there are some (NCCL), else processes on the CPU (gloo), each with
one thread. Training takes the same steps on any number, each device its share of them, and is told by its losses;
prediction and iterations have the network of one device, and are told by their canvases. Efficiency is the rate over
the rate of one device times their number. The first steps of everything are not counted.
"""

import argparse
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import multiprocessing

from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write
from ptycho.base.atomic import write_text
from ptycho.base.launched import Launched, launched
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import device_of
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.predict import summed_patches
from ptycho_torch.inference.refine import refine
from ptycho_torch.persistence.bundle import read_bundle, write_bundle
from ptycho_torch.physics.forward import divide, place_on_canvas
from ptycho_torch.processes.world import joined
from ptycho_torch.training.fit import fit, prepare

SCAN = "scan.npz"
# Patterns that one pass of the network takes, and frames that warm a device up.
PASS, WARM = {"cpu": 64, "cuda": 1024}, 256
# Patterns that share a canvas in training, at most.
CANVAS = 64
HEADERS = [
    *("devices", "train patterns/s", "efficiency", "loss differs"),
    *("predict patterns/s", "efficiency ", "canvas differs"),
    *("iterate frames/s", "efficiency  ", "canvas differs "),
]


@dataclass(frozen=True)
class Choices:
    """What is computed on how many devices at most."""

    devices: int
    frames: int
    size: int
    batch: int
    epochs: int
    iterations: int


def train(folder: Path, choices: Choices, n: int) -> dict[str, Any]:
    """Return the rate of a training and its losses; that of one device leaves its network."""
    here = launched(n)
    share = choices.batch // n
    region = min(CANVAS, choices.batch // choices.devices)
    config = TrainingConfig(
        ModelConfig(N=choices.size),
        batch_size=share,
        canvas_size=region,
        nepochs=choices.epochs,
        output_dir=folder / f"run{n}",
    )
    execution = PyTorchExecutionConfig(devices=n, enable_checkpointing=False, deterministic=False)
    scan = read(folder / SCAN)
    # One epoch that is not counted: libraries are loaded, and kernels chosen.
    warming = TrainingConfig(ModelConfig(N=choices.size), batch_size=share, nepochs=1)
    prepare(warming, execution, scan.part(np.arange(min(WARM, choices.frames))), folder=None).train()
    done = fit(config, execution, scan)
    if here.leads and n == 1:
        write_bundle(folder / "wts.h5.zip", done.pinn, config, done.began_from)
    return {"rate": done.n_patterns / done.seconds, "loss": np.array(done.history["train_loss"])}


def look(folder: Path, choices: Choices, n: int) -> dict[str, Any]:
    """Return rates and canvases of a prediction and of iterations that begin with it."""
    here = launched(n)
    device = device_of(here, "auto")
    with joined(here, device) as world, torch.no_grad():
        pinn = read_bundle(folder / "wts.h5.zip").pinn.to(device).eval()
        scan = Scan.of(read(folder / SCAN), device)
        placement, _ = place_on_canvas(scan.positions, scan.size)
        every = torch.arange(len(scan), device=device)

        def predicted(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            sums = summed_patches(*(pinn, scan, placement, frames[:, None]), batch_size=PASS[device.type], world=world)
            return divide(*sums)

        def iterated(frames: torch.Tensor, start: torch.Tensor, iterations: int) -> tuple[torch.Tensor, int]:
            at = Estimate(start, pinn.probe.detach())
            asked = Refinement(iterations, total_variation=0.0)
            done = refine(at, scan, placement, asked, frames=frames, held_out_fraction=0.0, world=world)
            return done.at.object_, len(done.history["deviance"]) - 1

        few, _ = predicted(every[:WARM])
        iterated(every[:WARM], few, 1)
        (canvas, light), predicting = timed(device, lambda: predicted(every))
        (object_, n_iterations), iterating = timed(device, lambda: iterated(every, canvas, choices.iterations))
    return {
        "predict": len(scan) / predicting,
        "iterate": len(scan) * n_iterations / iterating,
        "canvas": canvas.cpu().numpy(),
        "light": light.cpu().numpy(),
        "object": object_.cpu().numpy(),
    }


def timed(device: torch.device, work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what the work gave, and the seconds until all of it was there."""
    begun = _now(device)
    found = work()
    return found, _now(device) - begun


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def on(n: int, work: Callable[[Path, Choices, int], dict[str, Any]], folder: Path, choices: Choices) -> dict[str, Any]:
    """Return what the first of ``n`` processes found."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    multiprocessing.spawn(_work, (n, port, work, folder, choices), nprocs=n)
    with np.load(folder / f"{work.__name__}{n}.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _work(rank: int, n: int, port: int, work: Callable[..., dict[str, Any]], folder: Path, choices: Choices) -> None:
    os.environ.update(Launched(rank, n, rank, n, port=port).variables())
    torch.set_num_threads(1)
    found = work(folder, choices, n)
    if rank == 0:
        np.savez(folder / f"{work.__name__}{n}.npz", **found)


def distance(one: np.ndarray, other: np.ndarray, light: np.ndarray) -> float:
    """Return how far two canvases are from each other where light fell, as a share of their size."""
    return float(np.sqrt((light * np.abs(one - other) ** 2).sum() / (light * np.abs(one) ** 2).sum()))


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    gpus = torch.cuda.device_count()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=gpus or 2)
    parser.add_argument("--frames", type=int, default=100_000 if gpus else 512)
    parser.add_argument("--size", type=int, default=128 if gpus else 64, help="side of a pattern, px")
    parser.add_argument("--batch", type=int, default=4096 if gpus else 64, help="patterns in a step, of all devices")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--out", type=Path)
    asked = vars(parser.parse_args())
    out = asked.pop("out")
    choices = Choices(**asked)
    numbers = [n for n in range(1, choices.devices + 1) if choices.batch % n == 0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulated = Simulation(N=choices.size, n_positions=choices.frames, photons=1e5)
        write(folder / SCAN, simulate(simulated, np.random.default_rng(0)))
        rows = []
        for n in numbers:
            trained, looked = on(n, train, folder, choices), on(n, look, folder, choices)
            if n == 1:
                first = trained, looked
            rates = [
                (float(now[rate]), float(now[rate]) / (n * float(then[rate])))
                for now, then, rate in zip(
                    (trained, looked, looked),
                    (first[0], first[1], first[1]),
                    ("rate", "predict", "iterate"),
                    strict=True,
                )
            ]
            differences = [
                float(np.abs(trained["loss"] / first[0]["loss"] - 1).max()),
                *(distance(first[1][part], looked[part], first[1]["light"]) for part in ("canvas", "object")),
            ]
            cells = [
                cell
                for (rate, share), difference in zip(rates, differences, strict=True)
                for cell in (f"{rate:.0f}", f"{share:.2f}", f"{difference:.1e}")
            ]
            rows.append([str(n), *cells])
    device = torch.cuda.get_device_name(0) if gpus else f"CPU, {os.cpu_count()} cores, one thread a process"
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{device}; Python {platform.python_version()}, torch {torch.__version__}; {time.strftime('%Y-%m-%d')}\n"
        f"{choices.frames} frames of {choices.size} x {choices.size} px, {choices.batch} patterns a step, "
        f"{choices.epochs} epochs, {choices.iterations} iterations\n\n{text_table(HEADERS, rows)}\n"
    )
    print(report)
    if out:
        write_text(out, report)


if __name__ == "__main__":
    main()
