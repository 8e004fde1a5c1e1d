"""What a program leaves behind: its exit status, and one line where something went wrong."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ptycho.base.errors import PtychoError
from ptycho.base.interruption import Interruption, sigterm_interrupts
from ptycho.base.printable import printable
from ptycho.cli.launching import report, reports

FAILED = 2
# A program that a signal ends has 128 and the number of the signal as its status.
SIGNALLED = 128
READER_GONE = 141


def exit_status(name: str, work: Callable[[], int]) -> int:
    """Do the work of the program ``name`` and return its exit status: 2 after an error, 130 or 143 when interrupted.

    A parser that has printed help or an error ends in its own status. With ``PTYCHO_DEBUG=1`` in the environment an
    error shows its traceback instead of one line.
    """
    # Started without them (`ptycho ... >&-`) it speaks to nobody, and no file that it opens takes their place.
    sys.stdout, sys.stderr = sys.stdout or _nobody(), sys.stderr or _nobody()
    try:
        with sigterm_interrupts():
            status = work()
            sys.stdout.flush()
            return status
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt as stop:
        asked = stop if isinstance(stop, Interruption) else Interruption(signal.SIGINT)
        return _fail(name, asked, str(asked), SIGNALLED + asked.number)
    except BrokenPipeError:
        # Nobody reads stdout any more (`ptycho inspect scan.npz | head`): leave without a word, as other tools do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except Exception as error:
        expected = isinstance(error, (PtychoError, OSError)) or _out_of_memory(error)
        if os.environ.get("PTYCHO_DEBUG") == "1" or not (expected or reports()):
            raise
        words = _in_words(error) if expected else f"{type(error).__name__}: {error}; PTYCHO_DEBUG=1 shows where"
        return _fail(name, error, f"error: {words}", FAILED)


def _nobody() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _in_words(error: Exception) -> str:
    if isinstance(error, PtychoError):
        return str(error)
    if _out_of_memory(error):
        return "out of memory; expected room for the scan and the network; take a smaller batch_size or fewer positions"
    found = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    return f"{' '.join(found.split())}; expected a file that can be read or written; check its path and the free space"


def _out_of_memory(error: Exception) -> bool:
    """Python has a class for it, PyTorch another one for GPUs, and words for the CPU."""
    words = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or words


def _fail(name: str, error: BaseException, message: str, status: int) -> int:
    """Print one line, or leave that to the process that started this one, and return ``status``."""
    if reports():
        report(error, printable(message).removeprefix("error: "))
    else:
        sys.stderr.write(f"{name}: {printable(message)}\n")
    return status
