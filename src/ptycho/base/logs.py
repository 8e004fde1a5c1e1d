"""What the software says while it works: plain lines on stderr."""

import logging
import sys
from typing import Any

from ptycho.base.printable import printable

LOGGERS = ("ptycho", "ptycho_torch")


class _Plain(logging.Formatter):
    """A message as it is; from a warning on, its level in front."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = printable(super().formatMessage(record))
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


class _Stderr(logging.StreamHandler[Any]):
    """Writes to stderr as it is at that moment: a line that moves on the terminal stays below what is said."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def configure(*, quiet: bool = False, verbose: bool = False, level: int = logging.INFO) -> None:
    """Send the messages of both packages to stderr: everything when verbose, only warnings when quiet, else ``level``.

    Calling it again replaces what the call before set up.
    """
    handler = _Stderr()
    handler.set_name(__name__)
    handler.setFormatter(_Plain())
    level = logging.WARNING if quiet else logging.DEBUG if verbose else level
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for former in [h for h in logger.handlers if h.get_name() == __name__]:
            logger.removeHandler(former)
        logger.addHandler(handler)
        logger.setLevel(level)
