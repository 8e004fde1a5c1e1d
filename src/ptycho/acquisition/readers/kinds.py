"""What this package writes, by what it is made of: a file in another's place is called by its name."""

from collections.abc import Collection
from pathlib import Path

NETWORK, RESULT, SCAN = "a trained network", "a result of `ptycho reconstruct`", "a scan"
# A kind, and keys or members of an archive, or files in a folder, that only it has together.
MARKS = (
    (NETWORK, {"weights.safetensors"}),
    (NETWORK, {"manifest.dill"}),
    (NETWORK, {"wts.h5.zip"}),
    (RESULT, {"object", "coverage", "origin"}),
    (RESULT, {"reconstruction.npz"}),
    (SCAN, {"diff3d"}),
    (SCAN, {"diffraction"}),
)


def kind_of_folder(path: Path) -> str | None:
    """Return `kind_of` the files in a folder; None also where it can't be looked into."""
    try:
        return kind_of([entry.name for entry in path.iterdir()])
    except OSError:
        return None


def kind_of(members: Collection[str]) -> str | None:
    """Return in words what an archive or a folder with such members is, as far as this package knows; None else.

    Examples
    --------
    >>> kind_of(["manifest.json", "config.json", "weights.safetensors"])
    'a trained network'
    """
    return next((kind for kind, marks in MARKS if marks <= set(members)), None)
