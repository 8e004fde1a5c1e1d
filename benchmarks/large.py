"""What a frame costs, and what memory a scan needs, from ten thousand frames to a million.

    python benchmarks/large.py [--frames 10000 100000] [--size 128] [--step 10] [--steps 50] [--width 32]
        [--stages convert train ...] [--stored] [--folder DIR] [--out FILE]

Every scan is a raster over an object that repeats itself after 16 steps: 256 simulated patterns are those of all
positions. They are written to HDF5, block by block: in chunks, or in one piece where `convert` is left out, as patterns
that lie so need it not. Each stage is a process of its own that begins with the file: `ptycho convert` to a folder, the
start of a training and some steps of it over the whole scan, a reconstruction with that network, stitched and after one
iteration, and the verb `ptycho reconstruct` with one iteration, its self-check and all its files.

Memory is the largest resident set of the process, and of a GPU what was allocated there at most. CPU seconds are those
of all threads together, others those of a clock, which says what stitching and iterations took; neither has what
importing takes. With `--stored` patterns stay in their file though they fit on the GPU. A narrow network leaves more of
the time to what depends on the number of frames. The data are deleted afterwards; a million frames of 128 px need
64 GiB of disk while they are there, or 32 GiB without `convert`.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.base.atomic import write_text
from ptycho.report.tables import text_table
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.probes import PROBES
from ptycho.simulation.simulate import expected_counts

PERIOD = 16  # steps after which the object repeats itself
PHOTONS = 1e5
BLOCK = 2048  # frames written at a time
STAGES = ("convert", "train", "stitch", "iterate", "verb")
HEADERS = [
    *("frames", "canvas, Mpx", "stage", "s", "stitch s", "refine s"),
    *("CPU s", "CPU us a frame", "ms a step", "peak GiB", "GPU GiB"),
]


@dataclass(frozen=True)
class Raster:
    """A square raster over an object that repeats itself, and which of few patterns (pattern, y, x) each frame has."""

    patterns: np.ndarray
    of_frame: np.ndarray
    positions: np.ndarray
    probe: np.ndarray


def raster(n_frames: int, size: int, step: int) -> Raster:
    """Simulate a raster of nearly ``n_frames`` frames; lengths in px."""
    rng = np.random.default_rng(0)
    side, period = round(n_frames**0.5), PERIOD * step
    tile = OBJECTS["lines"]((period, period), rng)
    probe = PROBES["aperture"](size, PHOTONS)
    around = np.pad(tile, (0, size), mode="wrap")
    within = np.stack(np.divmod(np.arange(PERIOD**2), PERIOD), axis=1) * float(step) + size // 2
    patterns = rng.poisson(expected_counts(around, probe, within)).astype(np.uint16)
    frames = np.stack(np.divmod(np.arange(side**2), side), axis=1)
    row, column = frames.T % PERIOD
    return Raster(patterns, row * PERIOD + column, frames * float(step) + size // 2, probe)


def make(path: Path, n_frames: int, size: int, step: int, *, chunked: bool) -> None:
    """Write a scan of nearly ``n_frames`` frames, a square raster, to HDF5, in chunks or in one piece."""
    made = raster(n_frames, size, step)
    n = len(made.of_frame)
    with h5py.File(path, "w") as file:
        file["positions"], file["probe"] = made.positions, made.probe
        chunks = (16, size, size) if chunked else None
        stored = file.create_dataset("patterns", (n, size, size), np.uint16, chunks=chunks)
        for start in range(0, n, BLOCK):
            block = made.of_frame[start : start + BLOCK]
            stored[start : start + len(block)] = made.patterns[block]


def run_stage(stage: str, folder: Path, n_steps: int, width: int, *, stored: bool) -> dict[str, Any]:
    """Run one stage in this process; return its seconds, those of a step of training, and its largest resident set."""
    import lightning  # noqa: F401  # what a training imports is not what a frame costs
    import torch

    import ptycho_torch.data.stored
    import ptycho_torch.inference.reconstruct
    import ptycho_torch.training.fit
    from ptycho.cli.main import main

    if stored:
        ptycho_torch.data.stored.FITS = 0.0
    began, clock = time.process_time(), time.perf_counter()
    found: dict[str, Any] = {}
    if stage == "convert":
        main(["convert", str(folder / "scan.h5"), str(folder / "large.scan"), "--overwrite", "--quiet"])
    elif stage == "train":
        found["ms a step"] = _train(folder, n_steps, width)
    elif stage == "verb":
        argv = ["reconstruct", str(folder), str(_scan_in(folder)), "--output_dir", str(folder / "result")]
        assert main([*argv, "--refine", "1", "--quiet"]) == 0
    else:
        found |= _reconstruct(folder, iterations=int(stage == "iterate"))
    found |= {"CPU s": time.process_time() - began, "s": time.perf_counter() - clock}
    if torch.cuda.is_available():
        found["GPU GiB"] = torch.cuda.max_memory_allocated() / 2**30
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return found | {"peak GiB": int(peak[1]) / 2**20}


def _train(folder: Path, n_steps: int, width: int) -> float:
    import lightning

    from ptycho.acquisition.checks import require
    from ptycho.acquisition.readers import read
    from ptycho.config.execution import PyTorchExecutionConfig
    from ptycho.config.model import ModelConfig
    from ptycho.config.training import TrainingConfig
    from ptycho_torch.persistence.bundle import write_bundle
    from ptycho_torch.training.fit import prepare

    class Enough(lightning.Callback):
        """Ends the training, and knows how long a step took from the tenth on."""

        def __init__(self) -> None:
            self.at: list[float] = []

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            self.at.append(time.process_time())
            trainer.should_stop = len(self.at) >= n_steps

    scan = read(_scan_in(folder))
    require(scan)
    config = TrainingConfig(ModelConfig(N=scan.size, lean_width=width), output_dir=folder)
    execution = PyTorchExecutionConfig(enable_progress_bar=False)
    run, enough = prepare(config, execution, scan, folder=None), Enough()
    run.take_steps(enough)
    write_bundle(folder / "wts.h5.zip", run.module.pinn, config)
    return 1e3 * float(np.median(np.diff(enough.at[n_steps // 5 :])))


def _scan_in(folder: Path) -> Path:
    converted = folder / "large.scan"
    return converted if converted.exists() else folder / "scan.h5"


def _reconstruct(folder: Path, *, iterations: int) -> dict[str, float]:
    import torch

    from ptycho.cli.reconstruct import reconstruct_file
    from ptycho.config.refinement import Refinement

    made = reconstruct_file(
        folder,
        _scan_in(folder),
        accelerator="auto",
        batch_size=1024 if torch.cuda.is_available() else 64,
        refinement=Refinement(iterations),
        scratch=folder,
    )
    made.result.final.write(folder / "reconstruction.npz")
    seconds = made.result.seconds
    return {
        "canvas, Mpx": made.result.final.object_.size / 1e6,
        "stitch s": seconds["predict and stitch"],
        "refine s": seconds["refine"],
    }


def measure(n_frames: int, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for every stage of one scan, each run in a process of its own."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="large-") as name:
        folder = Path(name)
        began = time.perf_counter()
        make(folder / "scan.h5", n_frames, asked.size, asked.step, chunked="convert" in asked.stages)
        print(f"{n_frames} frames written in {time.perf_counter() - began:.3g} s", flush=True)
        n_frames = round(n_frames**0.5) ** 2
        for stage in asked.stages:
            command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder)]
            command += ["--steps", str(asked.steps), "--width", str(asked.width)]
            command += ["--stored"] if asked.stored else []
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found = json.loads(said.splitlines()[-1])
            # What a training takes beside its steps walks all frames; a step takes what it takes whatever the scan.
            over_frames = found["CPU s"] - asked.steps * found.get("ms a step", 0) / 1e3
            rows.append({"frames": n_frames, "stage": stage, "CPU us a frame": 1e6 * over_frames / n_frames, **found})
            print(_table(rows[-1:]), flush=True)
            if stage == "convert":
                (folder / "scan.h5").unlink()
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [
        [f"{row[name]:.4g}" if isinstance(row.get(name), float) else str(row.get(name, "")) for name in HEADERS]
        for row in rows
    ]
    return text_table(HEADERS, cells)


def run(argv: list[str]) -> None:
    """Measure the scans that were asked for; print a table, and write the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[10_000, 100_000], help="frames of the scans")
    parser.add_argument("--size", type=int, default=128, help="side of a pattern, px")
    parser.add_argument("--step", type=int, default=10, help="step of the raster, px")
    parser.add_argument("--steps", type=int, default=50, help="steps of training")
    parser.add_argument("--width", type=int, default=32, help="width of the network")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="each needs those before it")
    parser.add_argument("--stored", action="store_true", help="leave patterns in their file on a GPU too")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the data lie")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.stage:
        print(json.dumps(run_stage(asked.stage, asked.folder, asked.steps, asked.width, stored=asked.stored)))
        return
    needed = (2 if "convert" in asked.stages else 1) * 2 * max(asked.frames) * asked.size**2
    if shutil.disk_usage(asked.folder).free < needed:
        parser.error(f"{asked.folder} has too little room; expected {needed / 2**30:.0f} GiB; name another --folder")
    rows = [row for n_frames in asked.frames for row in measure(n_frames, asked)]
    print(f"\n{_table(rows)}\n{platform.machine()}, {platform.python_version()}")
    if asked.out:
        write_text(asked.out, json.dumps(rows, indent=2))


if __name__ == "__main__":
    run(sys.argv[1:])
