"""How much faster several devices are, and whether they find the same: train, predict and stitch, iterate.

    python benchmarks/many.py [--devices 8] [--frames 100000] [--size 128] [--batch 512] [--epochs 2]
                              [--iterations 20] [--seconds 600] [--out FILE]

One scan on 1, 2, 4, ... devices: GPUs where there are some (NCCL), else processes on the CPU (gloo), each with one
thread. It is the raster of `large.py`, over an object that repeats itself. In training each device has ``--batch``
patterns of every step, and losses are those of one device with steps as large as those of all; prediction and
iterations share the scan, have the network of one device, and are told by their canvases. Efficiency is the rate over
the rate of one device times their number. The first steps of everything are not counted, nor what recording them takes.
Whatever takes longer than ``--seconds`` on one number of devices is ended, and so is the benchmark.
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

import lightning
import numpy as np
import torch
from large import raster
from torch import multiprocessing

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write
from ptycho.base.atomic import write_text
from ptycho.base.launched import Launched
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.report.tables import text_table
from ptycho_torch.base.devices import device_of
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.predict import summed_patches
from ptycho_torch.inference.refine import refine
from ptycho_torch.persistence.bundle import read_bundle, write_bundle
from ptycho_torch.physics.forward import divide, place_on_canvas
from ptycho_torch.processes.world import World, joined
from ptycho_torch.training.fit import prepare

SCAN, BUNDLE = "scan.scan", "wts.h5.zip"
# Patterns that one pass of the network takes, and frames that warm a device up.
PASS, WARM = {"cpu": 64, "cuda": 1024}, 256
# Patterns that share a canvas in training, at most; and steps that are not counted, at most: half of all.
CANVAS, FIRST = 64, 10
# Steps of the raster in the side of a pattern.
STEPS = 12
HEADERS = [
    *("devices", "train patterns/s", "efficiency", "loss differs"),
    *("predict patterns/s", "efficiency ", "canvas differs"),
    *("iterate frames/s", "efficiency  ", "canvas differs "),
]


@dataclass(frozen=True)
class Choices:
    """What is computed, and on how many devices at most; ``seconds`` is what one number of them may take."""

    devices: int
    frames: int
    size: int
    batch: int
    epochs: int
    iterations: int
    seconds: float

    def numbers(self) -> list[int]:
        """Return how many devices compute, one after the other."""
        return sorted({min(2**power, self.devices) for power in range(self.devices.bit_length() + 1)})


class Clock(lightning.Callback):
    """Times the steps of a training, without the first."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Decide which steps are counted."""
        n_steps = int(trainer.estimated_stepping_batches)
        self._first = min(FIRST, n_steps // 2)
        self._n_counted = n_steps - self._first
        self._begun = _now(pl_module.device)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Start, after the first steps."""
        if trainer.global_step == self._first:
            self._begun = _now(pl_module.device)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Stop."""
        self.steps_per_second = self._n_counted / (_now(pl_module.device) - self._begun)


def tell(what: str) -> None:
    """Say on stderr how far the benchmark is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def simulate(path: Path, choices: Choices) -> None:
    """Write the scan."""
    made = raster(choices.frames, choices.size, max(1, choices.size // STEPS))
    size = choices.size
    probe = made.probe.astype(np.complex64).reshape(-1, size, size)
    mask = np.ones((size, size), bool)
    write(path, Acquisition(made.patterns[made.of_frame], made.positions, probe, mask, "counts", 1.0, "simulated"))


def train(folder: Path, choices: Choices, n: int, batch: int) -> dict[str, Any]:
    """Return the rate of a training of ``batch`` patterns a device, patterns a second, its losses and its network."""
    config = TrainingConfig(
        ModelConfig(N=choices.size),
        batch_size=batch,
        canvas_size=min(CANVAS, choices.batch),
        nepochs=choices.epochs,
        validation_fraction=0.0,
    )
    execution = PyTorchExecutionConfig(
        devices=n, enable_checkpointing=False, enable_progress_bar=False, deterministic=False
    )
    run, clock = prepare(config, execution, read(folder / SCAN), folder=None), Clock()
    run.trainer.callbacks.append(clock)
    done = run.train()
    if n == 1 and batch == choices.batch:
        write_bundle(folder / BUNDLE, done.pinn, config, done.began_from)
    return {"train": clock.steps_per_second * batch * n, "loss": np.array(done.history["train_loss"])}


@torch.no_grad()
def look(folder: Path, choices: Choices, device: torch.device, world: World) -> dict[str, Any]:
    """Return rates and canvases of a prediction and of iterations that begin with it."""
    pinn = read_bundle(folder / BUNDLE).pinn.to(device).eval()
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
    if world.rank == 0:
        tell(f"{world.size} device(s): predicted in {predicting:.2f} s, iterating")
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


def on(n: int, folder: Path, choices: Choices) -> dict[str, Any]:
    """Return what the first of ``n`` processes found."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    processes = multiprocessing.spawn(_work, (n, port, folder, choices), nprocs=n, join=False)
    last = time.monotonic() + choices.seconds
    while not processes.join(timeout=max(0.0, last - time.monotonic())):
        if time.monotonic() >= last:
            for process in processes.processes:
                process.kill()
            raise SystemExit(f"{n} device(s) took longer than {choices.seconds:g} s; raise --seconds or ask for less")
    with np.load(folder / f"{n}.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _work(rank: int, n: int, port: int, folder: Path, choices: Choices) -> None:
    """Train, predict and iterate as one of ``n`` processes; one alone also trains with the steps of more."""
    here = Launched(rank, n, rank, n, port=port)
    os.environ.update(here.variables())
    torch.set_num_threads(1)
    device = device_of(here, "auto")
    with joined(here, device) as world:
        found: dict[str, Any] = {}
        for times in choices.numbers() if n == 1 else [1]:
            if here.leads:
                tell(f"{n} device(s): training with {times * n * choices.batch} patterns a step")
            trained = train(folder, choices, n, times * choices.batch)
            found = {f"loss{times * n}": trained["loss"], "train": trained["train"]} | found
        if here.leads:
            tell(f"{n} device(s): trained {found['train']:.0f} patterns a second, predicting")
        found |= look(folder, choices, device, world)
        if here.leads:
            np.savez(folder / f"{n}.npz", **found)


def distance(one: np.ndarray, other: np.ndarray, light: np.ndarray) -> float:
    """Return how far two canvases are from each other where light fell, as a share of their size."""
    return float(np.sqrt((light * np.abs(one - other) ** 2).sum() / (light * np.abs(one) ** 2).sum()))


def row(n: int, now: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """Return rates, efficiencies and differences of ``n`` devices, beside those of one."""
    loss = f"loss{n}"
    differences = {
        "train": float(np.abs(now[loss] / first[loss] - 1).max()),
        "predict": distance(first["canvas"], now["canvas"], first["light"]),
        "iterate": distance(first["object"], now["object"], first["light"]),
    }
    cells = [
        cell
        for rate, differs in differences.items()
        for cell in (f"{now[rate]:.0f}", f"{now[rate] / (n * first[rate]):.2f}", f"{differs:.1e}")
    ]
    return [str(n), *cells]


def measure(choices: Choices) -> list[list[str]]:
    """Return a row for each number of devices, printed as soon as it is there."""
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tell(f"simulating {choices.frames} frames")
        simulate(folder / SCAN, choices)
        for n in choices.numbers():
            tell(f"{n} device(s): starting")
            found = on(n, folder, choices)
            if n == 1:
                first = found
            rows.append(row(n, found, first))
            print(text_table(HEADERS, rows[-1:]), flush=True)
    return rows


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    gpus = torch.cuda.device_count()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=gpus or 2)
    parser.add_argument("--frames", type=int, default=100_000 if gpus else 512)
    parser.add_argument("--size", type=int, default=128 if gpus else 64, help="side of a pattern, px")
    parser.add_argument("--batch", type=int, default=512 if gpus else 32, help="patterns in a step, of each device")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0, help="that one number of devices may take")
    parser.add_argument("--out", type=Path)
    asked = vars(parser.parse_args())
    out = asked.pop("out")
    choices = Choices(**asked)
    rows = measure(choices)
    device = torch.cuda.get_device_name(0) if gpus else f"CPU, {os.cpu_count()} cores, one thread a process"
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{device}; Python {platform.python_version()}, torch {torch.__version__}; {time.strftime('%Y-%m-%d')}\n"
        f"{choices.frames} frames of {choices.size} x {choices.size} px, {choices.batch} patterns of a step on each "
        f"device, {choices.epochs} epochs, {choices.iterations} iterations\n\n{text_table(HEADERS, rows)}\n"
    )
    print(report)
    if out:
        write_text(out, report)


if __name__ == "__main__":
    main()
