"""Something to compare with: a true object, or another reconstruction."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from ptycho.acquisition.readers.archive import open_archive
from ptycho.acquisition.readers.folder import is_folder, open_folder
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.arrays import Object
from ptycho.base.errors import DataError

NAME = "reconstruction.npz"


@dataclass(frozen=True, eq=False)
class Reference:
    """An object in the frame of the scan; ``coverage`` None means that it is known everywhere."""

    object_: Object
    origin: Float64[ndarray, "2"]
    coverage: Float32[ndarray, "height width"] | None = None


def read_reconstruction(path: Path) -> Reconstruction:
    """Read a reconstruction from its file, or from the folder that holds it.

    Raises
    ------
    DataError
        The folder holds none, or the file is none.
    """
    if not path.is_dir():
        return Reconstruction.read(path)
    if not (path / NAME).exists():
        found = "a training run" if (path / "wts.h5.zip").exists() else "a folder"
        raise DataError(
            f"{path}: found {found} without {NAME}, expected results of `ptycho reconstruct`; name their folder"
        )
    return Reconstruction.read(path / NAME)


def read_reference(path: Path) -> Reference:
    """Read a scan of ours, npz or folder, with a true object in its frame, or a reconstruction (file or folder).

    Raises
    ------
    DataError
        The file is neither.
    """
    path = Path(path)
    if is_folder(path) or not path.is_dir():
        with open_folder(path) if is_folder(path) else open_archive(path) as archive:
            if "objectGuess" in archive:
                return Reference(_object(archive["objectGuess"]), np.zeros(2))
            if "object" not in archive:
                raise DataError(
                    f"found {archive.kind}; expected objectGuess in the frame of xcoords and ycoords, or "
                    "a reconstruction; give a simulated scan or the results of `ptycho reconstruct`"
                )
    found = read_reconstruction(path)
    return Reference(found.object_, found.origin, found.coverage)


def _object(array: ndarray) -> Object:
    if array.ndim != 2 or array.dtype.kind not in "fc" or not np.isfinite(array).all():
        raise DataError(
            f"found objectGuess of shape {array.shape} and dtype {array.dtype}; expected a finite complex "
            "(height, width) image; correct the file"
        )
    return array.astype(np.complex64)
