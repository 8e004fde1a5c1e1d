"""The checkpoint that a client keeps: our bundle, under the name that the client looks for."""

import zipfile
from pathlib import Path

from ptycho.base.errors import BundleError
from ptycho_torch.persistence.bundle import Bundle, read_bundle

BEST = Path("checkpoints", "best-checkpoint.ckpt")
# Bytes of a pickle's beginning that are searched for the name of one of our parameters; nothing is unpickled.
SEARCHED = 16 << 20
OUR_PARAMETER = b"pinn.probe_parts"


def find_best_checkpoint(run_dir: Path | str) -> Path | None:
    """Return the checkpoint of the trained network in the folder of a run, or None where there is none."""
    path = Path(run_dir) / BEST
    return path if path.is_file() else None


def read_checkpoint(path: Path | str) -> Bundle:
    """Read a checkpoint under any name and in any place; nothing in it is executed.

    Raises
    ------
    BundleError
        The file is missing, damaged, or of another kind: the state of an interrupted run, or other software's.
    """
    path = Path(path)
    pickled = _beginning_of_pickle(path)
    if pickled is None:
        return read_bundle(path)
    if OUR_PARAMETER in pickled:
        raise BundleError(
            f"{path} is the state of a training, kept to go on with it; expected the trained network; give "
            f"{path.with_name(BEST.name)} or wts.h5.zip of that run, which `ptycho train --resume` finishes"
        )
    raise BundleError(
        f"{path} holds pickled Python objects of other software, which could run anything when they are opened; "
        f"expected a checkpoint that this software wrote ({BEST.name}); train again"
    )


def _beginning_of_pickle(path: Path) -> bytes | None:
    """Return how the pickle in a file of torch.save begins, as bytes; None where the file is of another kind."""
    try:
        with path.open("rb") as stream:
            if stream.read(1) == b"\x80":
                return b"\x80" + stream.read(SEARCHED)
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    with archive.open(name) as stream:
                        return stream.read(SEARCHED)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        # What can't be read is no bundle either, and the bundle's reader says why.
        return None
    return None
