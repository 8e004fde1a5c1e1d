"""Being asked to stop: by Ctrl-C, or by the SIGTERM that a batch system sends before a job's time is over."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption(KeyboardInterrupt):
    """Somebody asked the program to stop; the message says what became of the work.

    Attributes
    ----------
    number
        The signal.
    """

    def __init__(self, number: int, message: str = "interrupted; no result was written") -> None:
        super().__init__(message)
        self.number = number


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that what is open is closed and nothing half written is left."""
    if not may_listen(signal.SIGTERM):
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def may_listen(number: int) -> bool:
    """Return whether this thread may listen to a signal: the main one may, unless the program is told to ignore it."""
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(number) is not signal.SIG_IGN


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interruption(number)
