"""The line on the terminal; ten plain lines a stage where nobody watches one."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from ptycho.base.watching import NOBODY, Progress, Watcher
from ptycho.live.words import pace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

logger = logging.getLogger(__name__)

REDRAWN = 4  # times a second
PLAIN_LINES = 10  # a stage, at most
APART = 1.0  # s between two plain lines, at least


@contextmanager
def progress_line(*, shown: bool) -> Iterator[Watcher]:
    """Yield the line while the block lasts; nobody where it is not shown."""
    if not shown:
        yield NOBODY
        return
    with Line() as line:
        yield line


class Line(Watcher):
    """One line that moves while the block lasts and leaves nothing behind, however it ends.

    Where stderr is no terminal it is a log message at every tenth of a stage instead.

    Parameters
    ----------
    console
        Where the line stands; stderr when None.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        console = console or Console(stderr=True)
        self._moves = console.is_terminal
        texts = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
        columns = (texts[0], BarColumn(16), MofNCompleteColumn(), texts[1])
        self._bar = Bar(*columns, console=console, transient=True, refresh_per_second=REDRAWN)
        self._task: TaskID | None = None
        self._stage, self._done = "", 0
        self._tenths, self._last = 0, 0.0

    def __enter__(self) -> "Line":
        if self._moves:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moves:
            self._bar.stop()

    def see(self, progress: Progress) -> None:
        """Move the line, or say it plainly."""
        begins = progress.stage != self._stage or progress.done < self._done
        self._stage, self._done = progress.stage, progress.done
        if self._moves:
            self._move(progress, begins=begins)
        else:
            self._say(progress, begins=begins)

    def _move(self, progress: Progress, *, begins: bool) -> None:
        if begins or self._task is None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(progress.stage, total=progress.total, pace="")
        self._bar.update(self._task, completed=progress.done, total=progress.total, pace=pace(progress))

    def _say(self, progress: Progress, *, begins: bool) -> None:
        if begins:
            self._tenths, self._last = 0, time.perf_counter()
        tenths = PLAIN_LINES * progress.done // max(progress.total, 1)
        if tenths > self._tenths and time.perf_counter() - self._last >= APART:
            logger.info("%s: %d of %d, %s", progress.stage, progress.done, progress.total, pace(progress))
            self._tenths, self._last = tenths, time.perf_counter()
