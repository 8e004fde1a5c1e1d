"""What choices of training do to the image: each question is some variants that differ in one choice, over seeds.

    python benchmarks/training.py [--questions dose size batch levels arithmetic] [--seeds 3] [--workers 1] [--out FILE]

The network learns from one simulated object and is scored alone, without iterations, on it and on another that it has
not seen; beside it stands the likelihood solution that starts from the truth. Medians over seeds, and the worst seed.
"""

import argparse
import dataclasses
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.data import scan as data_scan
from ptycho_torch.inference.reconstruct import maximum_likelihood, reconstruct
from ptycho_torch.networks import attention, gelu, halving, heads, three_by_three
from ptycho_torch.objectives import poisson
from ptycho_torch.physics import per_pixel
from ptycho_torch.training.fit import fit

HEADERS = ["scan", "training", "trained on dB", "phase dB", "worst", "worst phase", "unseen dB", "phase dB ", "s"]
LIKELIHOOD = "likelihood from the truth"


@dataclasses.dataclass(frozen=True)
class Variant:
    """A training of a scan: its name, and the choices in which it differs."""

    name: str
    scan: Simulation
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    execution: dict[str, Any] = dataclasses.field(default_factory=dict)
    by_kernels: bool = True

    @property
    def scan_name(self) -> str:
        """Object, dose and size in a few words."""
        return f"{self.scan.object}, {self.scan.photons:.0e}, {self.scan.N} px"


def dose() -> list[Variant]:
    """What keeps noise out of a network that learns from few photons."""
    ways: dict[str, dict[str, Any]] = {
        "all counts": {},
        "total variation 0.1": {"realspace_weight": 0.1},
        "thinning 0.3": {"thinning": 0.3},
    }
    scans = [Simulation(object=name, photons=photons) for name in ("lines", "dead_leaves") for photons in (1e3, 1e4)]
    return [Variant(name, scan, training=way) for scan in scans for name, way in ways.items()]


def size() -> list[Variant]:
    """Whether every seed finds the object of a scan of 128 px patterns."""
    return [Variant("20 epochs", Simulation(N=128), training={"nepochs": 20})]


def batch() -> list[Variant]:
    """How many patterns share a step, and how many of them a canvas, at an equal number of patterns."""
    return [
        Variant(
            f"batch {batch}, canvas {canvas}, rate {rate:g}",
            Simulation(),
            training=choices,
            execution={"learning_rate": rate},
        )
        for batch, canvas, rate in ((16, 64, 1e-3), (64, 64, 1e-3), (64, 64, 2e-3), (64, 32, 1e-3), (64, 16, 1e-3))
        for choices in [{"batch_size": batch, "canvas_size": canvas}]
    ]


def levels() -> list[Variant]:
    """How the channels of the network are spread over its levels, after as many epochs and in about the same time."""
    ways = (("even", 32, 14), ("slim", 32, 14), ("slim", 32, 24), ("slim", 48, 14))
    return [
        Variant(f"{spread}, width {width}, {epochs} epochs", Simulation(), choices, {"nepochs": epochs})
        for spread, width, epochs in ways
        for choices in [{"lean_levels": spread, "lean_width": width}]
    ]


def arithmetic() -> list[Variant]:
    """What short numbers, and on a GPU kernels of our own, do to the image after as many steps."""
    ways = {"32-true": ("32-true", True), "bf16-mixed": ("bf16-mixed", True), "no kernels": ("bf16-mixed", False)}
    scans = (Simulation(), Simulation(N=128, n_positions=256))
    return [
        Variant(name, scan, training={"nepochs": 150}, execution={"precision": precision}, by_kernels=by_kernels)
        for scan in scans
        for name, (precision, by_kernels) in ways.items()
    ]


QUESTIONS: dict[str, Callable[[], list[Variant]]] = {
    "dose": dose,
    "size": size,
    "batch": batch,
    "levels": levels,
    "arithmetic": arithmetic,
}
# Where kernels of our own are asked for.
ASKED = (
    (three_by_three, "_way"),
    (halving, "_way"),
    (attention, "_way"),
    (gelu, "_way"),
    (heads, "_by_kernels"),
    (per_pixel, "_kernels"),
    (poisson, "_sums"),
    (data_scan, "_kernels"),
)


@contextmanager
def kernels(*, wanted: bool) -> Iterator[None]:
    """Let a GPU have its kernels in the block, or plain operations."""
    with ExitStack() as stack:
        for module, name in ASKED:
            cached = getattr(module, name)
            cached.cache_clear()
            stack.callback(cached.cache_clear)
            if not wanted:
                stack.enter_context(mock.patch.object(module, "made", lambda make, trial, plain, what: plain))
        yield


def scans_of(choices: Simulation) -> tuple[Acquisition, Acquisition]:
    """Return the scan to learn from, and one of another object."""
    first, other = (simulate(choices, np.random.default_rng(seed)) for seed in (0, 1))
    return first, other


def scores(results: Iterable[Reconstruction], scans: Iterable[Acquisition]) -> list[float]:
    """Return PSNR of amplitude and phase of every result against the truth of its scan, dB."""
    found = [compare(result, scan.object_) for result, scan in zip(results, scans, strict=True)]
    return [score for each in found for score in (each.amplitude_psnr, each.phase_psnr)]


def trained(variant: Variant, seed: int) -> list[float]:
    """Return the scores of a network on the object that it learnt from and on the other, and the seconds it took."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    scans, device = scans_of(variant.scan), resolve_device("auto")
    with tempfile.TemporaryDirectory() as folder, kernels(wanted=variant.by_kernels):
        choices = {"nepochs": 50} | variant.training
        model = ModelConfig(N=variant.scan.N, **variant.model)
        config = TrainingConfig(model, **choices, subsample_seed=seed, output_dir=Path(folder))
        execution = PyTorchExecutionConfig(**{"learning_rate": 1e-3, "enable_checkpointing": False} | variant.execution)
        done = fit(config, execution, scans[0])
        results = [reconstruct(done.pinn, scan, device=device).stitched for scan in scans]
    found = [*scores(results, scans), done.seconds]
    sys.stderr.write(f"{variant.scan_name}, {variant.name}, seed {seed}: {[round(value, 2) for value in found]}\n")
    return found


def likelihood(choices: Simulation) -> list[float]:
    """Return the scores of the likelihood solution of both scans."""
    scans, device = scans_of(choices), resolve_device("auto")
    return scores([maximum_likelihood(scan, device=device) for scan in scans], scans)


def row(variant: Variant, found: list[list[float]]) -> list[str]:
    """Return medians over seeds, and the worst seed on the object that was learnt from."""
    median = [statistics.median(column) for column in zip(*found, strict=True)]
    worst = [min(column) for column in zip(*found, strict=True)]
    values = [f"{value:.2f}" for value in (*median[:2], *worst[:2], *median[2:4])]
    return [variant.scan_name, variant.name, *values, *(f"{seconds:.0f}" for seconds in median[4:])]


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="trainings at once; their seconds then say little")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    variants = [variant for question in asked.questions for variant in QUESTIONS[question]()]
    with ProcessPoolExecutor(asked.workers, get_context("spawn")) as pool:
        runs = [[pool.submit(trained, variant, seed) for seed in range(asked.seeds)] for variant in variants]
        limits = {scan: pool.submit(likelihood, scan) for scan in dict.fromkeys(each.scan for each in variants)}
        rows = [row(each, [run.result() for run in of_seeds]) for each, of_seeds in zip(variants, runs, strict=True)]
        rows += [[*row(Variant(LIKELIHOOD, scan), [limit.result()]), ""] for scan, limit in limits.items()]
    device = resolve_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads of CPU"
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n"
        f"{name}, {asked.workers} at once; Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {np.__version__}; {time.strftime('%Y-%m-%d')}\n"
        f"{asked.seeds} seeds, medians; PSNR of amplitude with peak 1, of phase with peak 1 rad; the network alone\n\n"
        f"{text_table(HEADERS, sorted(rows, key=lambda cells: cells[0]))}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


if __name__ == "__main__":
    main()
