"""HDF5 files on trial: a child reads them first, because the HDF5 library can hang or die on a crafted one.

The parent then asks the library for nothing that it has not survived on the same bytes in the child: every link,
header, attribute and list of chunks, and the values of a small file (`ptycho.base.hdf5_child`).
"""

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from ptycho.base.errors import DataError

CHILD = Path(__file__).with_name("hdf5_child.py")
PATIENCE = 60.0  # seconds in all, for slow disks; the processor may be busy for less, see the child


def try_file(path: Path) -> None:
    """Let a child read an HDF5 file; what it survived is not tried again until the file changes.

    Raises
    ------
    DataError
        The HDF5 library failed on it.
    """
    state = path.stat()
    _tried(path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=128)
def _tried(path: Path, *state: int) -> None:
    _run(str(path), b"")


def try_bytes(raw: bytes) -> None:
    """Let a child read an HDF5 file in memory.

    Raises
    ------
    DataError
        The HDF5 library failed on it.
    """
    _run("-", raw)


def _run(source: str, raw: bytes) -> None:
    if not sys.executable:
        raise DataError("no Python is known that could try it first; expected one in sys.executable; name it there")
    try:
        # Isolated: nothing but the library is loaded, whatever the environment says.
        child = subprocess.run(
            [sys.executable, "-I", str(CHILD), source], input=raw, timeout=PATIENCE, capture_output=True
        )
    except subprocess.TimeoutExpired:
        raise _failed(f"was not done in {PATIENCE:g} s") from None
    except OSError as error:
        raise DataError(
            f"{sys.executable} can't be started to try it first ({error.strerror}); expected a Python in "
            "sys.executable; name one there"
        ) from error
    if child.returncode:
        lines = child.stderr.decode("utf-8", "replace").splitlines()
        raise _failed(f"ended with status {child.returncode}{f': {lines[-1]}' if lines else ''}")


def _failed(reason: str) -> DataError:
    return DataError(f"the HDF5 library failed on it ({reason}); it is damaged or made to do harm: write it again")
