"""What the software says while it works: plain lines on stderr."""

import logging
import sys

from ptycho.base.printable import printable

LOGGERS = ("ptycho", "ptycho_torch")


class _Plain(logging.Formatter):
    """A message as it is; from a warning on, its level in front."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = printable(super().formatMessage(record))
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


def configure(*, quiet: bool = False, verbose: bool = False, level: int = logging.INFO) -> None:
    """Send the messages of both packages to stderr: everything when verbose, only warnings when quiet, else ``level``.

    Calling it again replaces what the call before set up.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(__name__)
    handler.setFormatter(_Plain())
    level = logging.WARNING if quiet else logging.DEBUG if verbose else level
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for former in [h for h in logger.handlers if h.get_name() == __name__]:
            logger.removeHandler(former)
        logger.addHandler(handler)
        logger.setLevel(level)
