"""What is left of a run that is killed: SIGKILL at random moments, then every file is read and the run goes on.

    python benchmarks/kills.py [--kills 200] [--seed 0]

A third of the kills comes at a time that is uniform over the run, a third at one that is log-uniform, and a third just
before one of the moments at which a file in its folder is opened, renamed or removed. A run that went on counts as
equal when its losses, its curves and every bit of its weights are those of a run that was never killed; a spare epoch
is a checkpoint of a good epoch that a later one would have replaced.
"""

import argparse
import csv
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import lightning  # noqa: F401  # children find it imported
import matplotlib.figure  # noqa: F401
import numpy as np
import torch
from PIL import Image

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.atomic import PARTIAL, write_bytes
from ptycho.base.errors import PtychoError
from ptycho.cli import reconstruct, simulate, train  # noqa: F401
from ptycho.cli.folders import EARLIER
from ptycho.cli.main import main as ptycho
from ptycho.config.files import load_yaml_config
from ptycho.report.tables import text_table
from ptycho_torch.persistence.bundle import Bundle, read_bundle, write_bundle
from ptycho_torch.training.checkpoints import read_state
from ptycho_torch.training.fit import prepare  # noqa: F401

SEED = {"old": "3", "new": "4"}
ITERATIONS = {"old": "2", "new": "5"}
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "tempfile.mkstemp", "shutil.rmtree"}
# Share of the kills that each stage gets; each kill of the second row comes after one of the first.
SHARES = {"train": 0.3, "train --resume": 0.2, "train --overwrite": 0.15, "reconstruct": 0.2, "save": 0.15}
Work = Callable[[], int]


@dataclass
class Row:
    """What became of the kills of one stage."""

    kills: int = 0
    unreadable: list[str] = field(default_factory=list)
    mixtures: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    spare: int = 0
    ended: int = 0
    seconds: float = 0.0


@dataclass
class Run:
    """How long a run takes, and how often it touches a file in its folder."""

    seconds: float
    events: int


def fork(work: Work, folder: Path, after: float | None = None, event: int | None = None) -> tuple[int, int]:
    """Do the work in a child, which dies after some seconds or at an event; return its wait status and its events."""
    told, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(work, folder, event, tells)
    os.close(tells)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(told) as stream:
        return status, int(stream.read() or 0)


def _be_child(work: Work, folder: Path, event: int | None, tells: int) -> None:
    seen = 0

    def watch(name: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if name in FILE_EVENTS and str(args[0]).startswith(str(folder)):
            seen += 1
            if seen == event:
                os.kill(os.getpid(), signal.SIGKILL)

    status = 70
    try:
        sys.addaudithook(watch)
        status = work()
        os.write(tells, str(seen).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def verb(*argv: object) -> Work:
    """Return `ptycho` with these words."""
    return lambda: ptycho([*map(str, argv), "--quiet"])


class Kills:
    """The stages, in a folder of their own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.rows = {stage: Row() for stage in SHARES}
        self.scan = folder / "scan.npz"
        self._must(verb("simulate", self.scan, "--N", 32, "--positions", 48, "--seed", 1), folder)
        self.runs: dict[str, Run] = {}
        for which in SEED:
            self.runs["train"] = self._must(self.train(folder / which, which), folder / which)
        for which in ITERATIONS:
            out = folder / f"{which}-image"
            self.runs["reconstruct"] = self._must(self.reconstruct(out, which), out)

    def train(self, run: Path, which: str = "new", *flags: str) -> Work:
        """Return the training that is killed, or the one whose result it replaces."""
        choices = ["--nepochs", "6", "--batch_size", "8", "--model.lean_width", "8", "--subsample_seed", SEED[which]]
        choices += ["--validation_fraction", "0.15", "--execution.accelerator", "cpu"]
        return verb("train", self.scan, "--output_dir", run, *choices, *flags)

    def reconstruct(self, out: Path, which: str = "new") -> Work:
        """Return the reconstruction that is killed, or the one whose result it replaces."""
        flags = ["--accelerator", "cpu", "--refine", ITERATIONS[which], "--overwrite"]
        return verb("reconstruct", self.folder / "new", self.scan, "--output_dir", out, *flags)

    def _must(self, work: Work, folder: Path) -> Run:
        started = time.perf_counter()
        status, events = fork(work, folder)
        if status != 0:
            raise SystemExit(f"a run that nobody killed ended with {os.waitstatus_to_exitcode(status)}")
        return Run(time.perf_counter() - started, events)

    def kill(self, stage: str, work: Work, folder: Path, whole: Run) -> bool:
        """Kill the work at a random moment; say whether it was still at work."""
        way, uniform = self.rng.integers(3), self.rng.random()
        if way == 0:
            status, _ = fork(work, folder, after=uniform * whole.seconds)
        elif way == 1:
            status, _ = fork(work, folder, after=0.01 * (whole.seconds / 0.01) ** uniform)
        else:
            status, _ = fork(work, folder, event=1 + int(uniform * whole.events))
        killed = os.WIFSIGNALED(status)
        self.rows[stage].kills += killed
        if killed:
            self.rows[stage].unreadable += unreadable(folder)
        return killed

    def stage_train(self) -> None:
        """Kill a training, in every second case kill the one that goes on too, and let it end."""
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        if not self.kill("train", self.train(run), run, self.runs["train"]):
            return
        last = "train"
        if (run / "config.yaml").exists() and not (run / "wts.h5.zip").exists() and self.rng.random() < 0.7:
            going_on = verb("train", self.scan, "--output_dir", run, "--resume")
            if self.kill("train --resume", going_on, run, self.runs["train"]):
                last = "train --resume"
        self._end(last, run)

    def _end(self, stage: str, run: Path) -> None:
        self._must(self.train(run, "new", "--resume"), run)
        self._compare(stage, trained(run), trained(self.folder / "new"))

    def _compare(self, stage: str, found: dict[str, object], expected: dict[str, object]) -> None:
        row = self.rows[stage]
        row.ended += 1
        files, wanted = (set(each.pop("files", ())) for each in (found, expected))
        # A kill between the writing of a better epoch and the removal of the one before leaves both.
        spare = {name for name in files - wanted if name.startswith("checkpoints/epoch=")}
        row.spare += bool(spare)
        differing = [name for name in found | expected if found.get(name) != expected.get(name)]
        differing += sorted((files - spare) ^ wanted)
        if differing:
            row.unequal.append(f"{stage}: other {', '.join(differing)} than without the kill")

    def stage_overwrite(self) -> None:
        """Kill a training that replaces the result of another one: one of the two is there, then the second."""
        run, row = self.folder / "run", self.rows["train --overwrite"]
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(self.folder / "old", run)
        if not self.kill("train --overwrite", self.train(run, "new", "--overwrite"), run, self.runs["train"]):
            return
        found = run if (run / "wts.h5.zip").exists() else run / EARLIER
        if not any(belongs(found, self.folder / which) for which in SEED):
            row.mixtures.append(str(sorted(path.name for path in found.iterdir())))
        if not (run / "wts.h5.zip").exists() and (run / "config.yaml").exists():
            new = load_yaml_config(run / "config.yaml")["subsample_seed"] == int(SEED["new"])
        else:
            new = belongs(run, self.folder / "new")
        self._must(
            verb("train", self.scan, "--output_dir", run, "--resume") if new else self.train(run, "new", "--overwrite"),
            run,
        )
        self._compare("train --overwrite", trained(run), trained(self.folder / "new"))

    def stage_reconstruct(self) -> None:
        """Kill a reconstruction, in every second case one that replaces another."""
        out, row = self.folder / "out", self.rows["reconstruct"]
        shutil.rmtree(out, ignore_errors=True)
        if self.rng.random() < 0.5:
            shutil.copytree(self.folder / "old-image", out)
        if not self.kill("reconstruct", self.reconstruct(out), out, self.runs["reconstruct"]):
            return
        if not any(images(out).items() <= images(self.folder / f"{which}-image").items() for which in ITERATIONS):
            row.mixtures.append(str(sorted(path.name for path in out.iterdir())))
        self._must(self.reconstruct(out), out)
        self._compare("reconstruct", images(out), images(self.folder / "new-image"))

    def stage_save(self) -> None:
        """Kill a program that does nothing but write a bundle and an image, one after the other."""
        folder = self.folder / "saved"
        folder.mkdir(exist_ok=True)
        bundle, image = (
            read_bundle(self.folder / "new"),
            Reconstruction.read(self.folder / "new-image/reconstruction.npz"),
        )
        self.kill("save", lambda: save_for_ever(folder, bundle, image), folder, Run(seconds=0.5, events=60))

    def go(self, n_kills: int) -> None:
        """Kill until every stage has its share."""
        stages = {
            "train": self.stage_train,
            "train --resume": self.stage_train,
            "train --overwrite": self.stage_overwrite,
            "reconstruct": self.stage_reconstruct,
            "save": self.stage_save,
        }
        for name, stage in stages.items():
            started = time.perf_counter()
            while self.rows[name].kills < max(1, round(SHARES[name] * n_kills)):
                stage()
            self.rows[name].seconds += time.perf_counter() - started


def cost_of_the_disk(n_writes: int = 40) -> str:
    """Return what a write of 1 MB costs, with and without waiting until it is on the disk."""
    raw, waits, seconds = os.urandom(2**20), os.fsync, []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for wait in (waits, lambda _: None):
            os.fsync = wait
            started = time.perf_counter()
            for _ in range(n_writes):
                write_bytes(Path(folder) / "file", raw)
            seconds.append(1e3 * (time.perf_counter() - started) / n_writes)
    os.fsync = waits
    return f"a file of 1 MB is written in {seconds[0]:.1f} ms, in {seconds[1]:.1f} ms if nobody waited for the disk"


def save_for_ever(folder: Path, bundle: Bundle, image: Reconstruction) -> int:
    """Write a bundle and an image again and again."""
    while True:
        write_bundle(folder / "wts.h5.zip", bundle.pinn, bundle.config)
        image.write(folder / "reconstruction.npz")


def unreadable(folder: Path) -> list[str]:
    """Return the files that can't be read, with the reason; what is marked as partial is never read."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or any(part.startswith(PARTIAL) for part in path.relative_to(folder).parts):
            continue
        try:
            READERS[path.suffix](path)
        except (PtychoError, OSError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile) as error:
            found.append(f"{path.relative_to(folder)}: {type(error).__name__}: {error}")
    return found


def read_csv(path: Path) -> list[dict[str, float]]:
    """Return the rows of a CSV file; every cell is a number."""
    with path.open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def read_image(path: Path) -> bytes:
    """Return the pixels of a picture."""
    with Image.open(path) as image:
        return image.tobytes()


def read_page(path: Path) -> str:
    """Return a page; it is whole."""
    text = path.read_text(encoding="utf-8")
    if not text.rstrip().endswith("</html>"):
        raise ValueError("the page has no end")
    return text


def read_arrays(path: Path) -> object:
    """Return the arrays of a file: our reconstruction, or others."""
    if path.name == "reconstruction.npz":
        return Reconstruction.read(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


READERS: dict[str, Callable[[Path], object]] = {
    ".zip": read_bundle,
    ".yaml": load_yaml_config,
    ".json": lambda path: json.loads(path.read_text()),
    ".npz": read_arrays,
    ".png": read_image,
    ".csv": read_csv,
    ".ckpt": read_state,
    ".html": read_page,
}


def weights(run: Path) -> bytes:
    """Return the bits of the weights in the bundle of a run."""
    with zipfile.ZipFile(run / "wts.h5.zip") as archive:
        return archive.read("weights.safetensors")


def trained(run: Path) -> dict[str, object]:
    """Return all that a run has learnt: weights, losses, curves, and which files it has."""
    return {
        "weights": weights(run),
        "history": said(run / "training.json"),
        "metrics.csv": said(run / "logs" / "metrics.csv"),
        "files": sorted(str(path.relative_to(run)) for path in run.rglob("*")),
    }


def belongs(run: Path, whole: Path) -> bool:
    """Say whether the bundle of a run, and all that lies beside it, are those of another run."""
    if not (run / "wts.h5.zip").exists() or weights(run) != weights(whole):
        return False
    seed = load_yaml_config(whole / "config.yaml")["subsample_seed"]
    right = [not (run / "config.yaml").exists() or load_yaml_config(run / "config.yaml")["subsample_seed"] == seed]
    for name in ("training.json", "logs/metrics.csv"):
        right.append(not (run / name).exists() or said(run / name) == said(whole / name))
    return all(right)


def said(path: Path) -> object:
    """Return the losses in a file."""
    return json.loads(path.read_text())["history"] if path.suffix == ".json" else path.read_text()


def images(out: Path) -> dict[str, object]:
    """Return what lies in a folder of a reconstruction, by name; of summary and report what does not tell the time."""
    return {path.name: timeless(path) for path in out.glob("[!.]*.*")} if out.exists() else {}


def timeless(path: Path) -> object:
    """Return what a file says, or of a summary and a report enough to tell whose they are."""
    if path.suffix == ".json":
        facts = json.loads(path.read_text())
        return facts["deviance"], facts["iterations"]
    return re.findall(r"--refine \d+", read_page(path)) if path.suffix == ".html" else path.read_bytes()


def main() -> int:
    """Kill, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(Path(folder), asked.seed)
        kills.go(asked.kills)
    rows = [
        [
            stage,
            row.kills,
            len(row.unreadable),
            len(row.mixtures),
            f"{row.ended - len(row.unequal)}/{row.ended}" if row.ended else "-",
            row.spare,
            f"{row.seconds:.0f}",
        ]
        for stage, row in kills.rows.items()
    ]
    headers = ["stage", "kills", "unreadable files", "mixtures", "ended equal", "spare epochs", "seconds"]
    print(text_table(headers, rows))
    wrong = [line for row in kills.rows.values() for line in (*row.unreadable, *row.mixtures, *row.unequal)]
    print("\n".join([*wrong, "", cost_of_the_disk()]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
