"""Several processes of one verb on this machine, one for each device: started, watched, and ended together."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from ptycho.base.errors import ConfigError, LostError, extra_missing
from ptycho.base.interruption import Interruption, may_listen
from ptycho.base.launched import ALONE, Launched, from_launcher, patience
from ptycho.base.processors import shared_threads, usable_processors

# Where a process that was started here says what went wrong, and what tells it that nobody waits for it any more.
REPORT, WATCHED = "PTYCHO_REPORT", "PTYCHO_WATCHED"
# Seconds between two looks; that processes have to find out that another one is lost; and to end when they are told to.
LOOK, FIND_OUT, END = 0.05, 3.0, 10.0


def n_processes(devices: int | Literal["auto"], accelerator: str) -> int:
    """Return how many processes are to be started here: one where there is one device, or where others did it.

    Raises
    ------
    ConfigError
        There are more than this machine has processors.
    BackendNotInstalledError
        The devices are to be counted and PyTorch is not there.
    """
    if devices == 1 or from_launcher() is not None:
        return 1
    if devices != "auto":
        usable = usable_processors()
        # Two wait for each other on one processor, and come to an end.
        if devices > max(2, usable):
            raise ConfigError(
                f"devices is {devices}, a process each; found {usable} processors; expected no more processes than "
                "processors; choose fewer devices, or auto for one on each GPU"
            )
        return devices
    if accelerator not in ("auto", "gpu", "cuda"):
        return 1
    try:
        import torch
    except ModuleNotFoundError as error:
        raise extra_missing("torch", "torch") from error
    return max(1, int(torch.cuda.device_count()))


def launch(verb: str, argv: Sequence[str], n: int) -> int:
    """Run ``ptycho VERB ...`` in so many processes and return the exit status 0; all end when one fails.

    A signal is passed on to all of them once. None outlives this one, however it ends.

    Raises
    ------
    ConfigError
        One process failed: which one, and why.
    Interruption
        They were asked to stop.
    """
    patience()
    command = [sys.executable, "-m", "ptycho.cli.main", verb, *argv]
    with tempfile.TemporaryDirectory(prefix="ptycho-") as folder:
        watched, held = os.pipe()
        port = _free_port()
        run = _Processes(Path(folder))
        try:
            with run.hearing_signals():
                for rank in range(n):
                    if run.asked is None:
                        run.start(command, Launched(rank, n, rank, n, ALONE.address, port), watched)
                run.wait()
        finally:
            run.end()
            os.close(watched)
            os.close(held)
        run.raise_failure()
    return 0


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind((ALONE.address, 0))
        return int(listening.getsockname()[1])


class _Processes:
    """The processes of a run, and what they said at their end.

    Attributes
    ----------
    asked
        Number of the signal that asked them to stop, if one did.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self.asked: int | None = None
        # When each was seen to have ended, and those that had not when one that failed had been waited for.
        self._ended: dict[int, float] = {}
        self._left: list[int] = []

    @contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """Pass signals on while the block lasts: the processes decide what becomes of the work."""
        heard = [number for number in (signal.SIGINT, signal.SIGTERM) if may_listen(number)]
        before = {number: signal.signal(number, self._pass_on) for number in heard}
        try:
            yield
        finally:
            for number, listener in before.items():
                signal.signal(number, listener)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self.asked = number
        for child in self._children:
            if child.poll() is None:
                child.send_signal(number)

    def start(self, command: Sequence[str], here: Launched, watched: int) -> None:
        """Start one; what others than the first say is kept, or shown to who looks for errors."""
        own = {REPORT: str(self._report(here.rank)), WATCHED: str(watched)}
        # A session of its own: Ctrl-C reaches it from here, once.
        with self._said(here.rank).open("wb") as said:
            child = subprocess.Popen(
                command,
                env={**os.environ, **shared_threads(here.local_size), **here.variables(), **own},
                stdout=None if here.leads else subprocess.DEVNULL,
                stderr=None if here.leads or os.environ.get("PTYCHO_DEBUG") == "1" else said,
                pass_fds=[watched],
                start_new_session=True,
            )
        self._children.append(child)
        # A signal that came meanwhile has not reached it.
        if self.asked is not None:
            child.send_signal(self.asked)

    def wait(self) -> None:
        """Return when all have ended, or one has failed and the others had time to find out."""
        since: float | None = None
        while self._look():
            if since is None and any(child.returncode for child in self._children):
                since = time.monotonic()
            if since is not None and time.monotonic() - since > FIND_OUT:
                break
            time.sleep(LOOK)
        self._left = self._look()

    def _look(self) -> list[int]:
        """Note which have ended since the last look, and return those that have not."""
        left = [rank for rank, child in enumerate(self._children) if child.poll() is None]
        for rank in range(len(self._children)):
            if rank not in left:
                self._ended.setdefault(rank, time.time())
        return left

    def end(self) -> None:
        """End all that have not ended."""
        for child in self._children:
            child.terminate()
        for child in self._children:
            try:
                child.wait(END)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def raise_failure(self) -> None:
        """Raise what was the first to go wrong, which is not that a process missed another one."""
        failed = [rank for rank, child in enumerate(self._children) if child.returncode and rank not in self._left]
        if not failed:
            return
        reports = {rank: self._report_of(rank) for rank in failed}
        if all(report["error"] == Interruption.__name__ for report in reports.values()):
            # Whoever asked one of them, and not this process, is taken for a batch system.
            raise Interruption(self.asked or signal.SIGTERM, reports[failed[0]]["message"])
        causes = [rank for rank in failed if reports[rank]["error"] != LostError.__name__]
        if self._left and not causes:
            rank, message = self._left[0], "it said nothing to the others in time"
        else:
            rank = min(causes or failed, key=lambda rank: reports[rank]["time"])
            message = reports[rank]["message"]
        raise ConfigError(f"process {rank} of {len(self._children)}: {message}")

    def _report_of(self, rank: int) -> Mapping[str, Any]:
        if self._report(rank).exists():
            found: Mapping[str, Any] = json.loads(self._report(rank).read_text(encoding="utf-8"))
            return found
        number = self._children[rank].returncode
        how = f"was ended by {signal.Signals(-number).name}" if number < 0 else f"ended with status {number}"
        said = self._said(rank).read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((f": {line.strip()}" for line in reversed(said) if line.strip()), "")
        # Between GPUs the one that waits in vain is ended so, and not the one that it waits for.
        error = LostError.__name__ if number == -signal.SIGABRT else ""
        return {"error": error, "message": f"it {how} without a word of its own{last}", "time": self._ended[rank]}

    def _report(self, rank: int) -> Path:
        return self._folder / f"report-{rank}.json"

    def _said(self, rank: int) -> Path:
        return self._folder / f"said-{rank}.txt"


def reports() -> bool:
    """Return whether this process was started by `launch`, which says what went wrong."""
    return REPORT in os.environ


def report(error: BaseException, message: str) -> None:
    """Tell `launch` what went wrong here."""
    told = {"error": type(error).__name__, "message": message, "time": time.time()}
    Path(os.environ[REPORT]).write_text(json.dumps(told), encoding="utf-8")


def end_with_launcher() -> None:
    """End this process when the one that started it is gone; do nothing where none watches it."""
    if WATCHED in os.environ:
        threading.Thread(target=_wait_for_end, args=(int(os.environ.pop(WATCHED)),), daemon=True).start()


def _wait_for_end(watched: int) -> None:
    os.read(watched, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END)
    os._exit(1)
