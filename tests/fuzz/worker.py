"""One child of a run: it reads inputs, one after the other, and says of each what became of it.

``python -m tests.fuzz.worker SEED RUNS START FOLDER TARGET ...`` reads the inputs of a run from number START
on. It writes a line of JSON when it makes an input, when it reads it and when it is done: who listens knows what it
died of.
"""

import io
import json
import logging
import os
import re
import resource
import sys
import traceback
import warnings
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from ptycho.base import hdf5_child, hdf5_trial
from ptycho.base.errors import PtychoError
from tests.fuzz.seeds import MANIFEST, Seed
from tests.fuzz.targets import TARGETS, Target, inputs

ROOM = 2**30  # bytes that reading one input may take
LONGEST_MESSAGE = 2000
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What no reader of data does; opening a file to write it is judged by where.
FORBIDDEN = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "socket.connect",
    "pickle.find_class",
    "ctypes.dlopen",
)


@dataclass(frozen=True)
class Outcome:
    """What became of an input: "accepted", "refused", or a kind of finding; ``detail`` says more of it."""

    target: str
    index: int
    kind: str
    detail: str
    seconds: float
    peak: int


class Sandbox:
    """A folder with one input, an empty folder for output, and everything around it, watched."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root, root / "out"
        self.deeds: list[str] = []
        self._watched = False
        for name in ("in", "out", "cwd", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "canary").write_text("secret")
        os.chdir(root / "cwd")
        os.environ |= {"TMPDIR": str(root / "tmp"), "HOME": str(root / "cwd")}
        sys.addaudithook(self._hear)

    def place(self, files: Seed) -> Path:
        """Write an input and return its path."""
        folder, named = self.root / "in", next(iter(files))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder if named == MANIFEST else folder / named

    def read(self, target: Target, path: Path) -> None:
        """Read an input and listen meanwhile."""
        self.deeds.clear()
        self._watched = True
        try:
            target.read(path, self.out)
        finally:
            self._watched = False

    def listing(self) -> list[tuple[str, int, int]]:
        """Return all that lies outside the folder for output."""
        files = [path for path in self.root.rglob("*") if self.out not in (path, *path.parents)]
        return sorted(
            (str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in files if not path.is_dir()
        )

    def clear(self) -> None:
        """Empty the folders for output and input."""
        for path in (*self.out.iterdir(), *(self.root / "in").iterdir()):
            path.unlink()

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watched:
            return
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not str(path).startswith((str(self.out), "/dev/null")):
                self.deeds.append(f"opens {path} to write")
        elif event.startswith(FORBIDDEN):
            self.deeds.append(f"{event} {arguments!r}"[:200])


def judged(sandbox: Sandbox, name: str, files: Seed, index: int) -> Outcome:
    """Read an input and say what became of it."""
    path = sandbox.place(files)
    before = sandbox.listing()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start_memory, start = _memory("VmRSS"), perf_counter()
    kind, detail = "accepted", ""
    try:
        sandbox.read(TARGETS[name], path)
    except PtychoError as error:
        kind, detail = "refused", str(error)
        if UNPRINTABLE.search(detail) or len(detail) > LONGEST_MESSAGE:
            kind, detail = "message", repr(detail)[:LONGEST_MESSAGE]
    except BaseException as error:
        kind, detail = "traceback", "".join(traceback.format_exception(error)[-6:])
    seconds, peak = perf_counter() - start, _memory("VmHWM") - start_memory
    if sandbox.deeds or sandbox.listing() != before:
        kind, detail = "outside", "; ".join(sandbox.deeds) or "files outside the folder for output changed"
    elif peak > ROOM:
        kind, detail = "memory", f"{peak} bytes"
    sandbox.clear()
    return Outcome(name, index, kind, detail, seconds, peak)


def files_of(name: str, seed: int, index: int) -> Seed:
    """Return input ``index`` of a target in the run of ``seed``."""
    return TARGETS[name].files(Random(f"{name}/{seed}/{index}"))


def main(seed: str, runs: str, start: str, folder: str, *names: str) -> None:
    """Read the inputs of a run from one of them on."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    warnings.filterwarnings("error", module="ptycho")  # a warning of Python is as strange to a user as a traceback
    sandbox = Sandbox(Path(folder))
    for name in names:
        TARGETS[name].seeds()
    hdf5_trial._run = on_trial_in_a_fork
    limit = _memory("VmSize") + 2 * ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, index in islice(inputs(int(runs), names), int(start), None):
        _say({"making": index, "target": name})
        files = files_of(name, int(seed), index)
        _say({"reading": index, "target": name})
        _say(asdict(judged(sandbox, name, files, index)))


def on_trial_in_a_fork(source: str, raw: bytes) -> None:
    """Do what the product does with HDF5 in a child, without the time that starting Python takes."""
    child = os.fork()
    if child == 0:
        try:
            hdf5_child.look_over(io.BytesIO(raw) if source == "-" else source)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        raise hdf5_trial._failed(f"status {status}")


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", status)[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
