"""The reconstruction: the object with where it lies, how well it was covered, and how it came about."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from ptycho.base.arrays import Object, Positions, Probe
from ptycho.base.atomic import atomic_path
from ptycho.base.errors import DataError

KEYS = ("object", "coverage", "origin", "probe", "positions")


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A stitched or refined object.

    Attributes
    ----------
    object_
        (height, width) complex64, dimensionless transmission.
    coverage
        (height, width) float32: scattered probe intensity, sum over frames of |P|^2, in counts; 0 where nothing looked.
    origin
        (2,) float64, (y, x): position, in scan pixels, of ``object_[0, 0]``.
    probe
        (mode, y, x) complex64, sqrt(counts).
    positions
        (position, 2) float64, (y, x) px: the positions that were used.
    history
        Name of a curve (such as "deviance") -> its values, one an iteration or epoch.
    """

    object_: Object
    coverage: Float32[ndarray, "height width"]
    origin: Float64[ndarray, "2"]
    probe: Probe
    positions: Positions
    history: dict[str, list[float]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write an npz with keys object, coverage, origin, probe, positions, history_*; whole or not at all."""
        arrays: dict[str, Any] = {f"history_{name}": np.asarray(curve) for name, curve in self.history.items()}
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.savez(
                stream,
                object=self.object_,
                coverage=self.coverage,
                origin=self.origin,
                probe=self.probe,
                positions=self.positions,
                **arrays,
            )

    @staticmethod
    def read(path: Path) -> "Reconstruction":
        """Read what ``write`` wrote.

        Raises
        ------
        DataError
            The file is not a reconstruction.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                missing = [key for key in KEYS if key not in file.files]
                if missing:
                    raise DataError(
                        f"{path} is not a reconstruction: found keys {sorted(file.files)}, missing {missing}; "
                        "give the reconstruction.npz that `ptycho reconstruct` wrote"
                    )
                return Reconstruction(
                    object_=file["object"],
                    coverage=file["coverage"],
                    origin=file["origin"],
                    probe=file["probe"],
                    positions=file["positions"],
                    history={
                        k.removeprefix("history_"): file[k].tolist() for k in file.files if k.startswith("history_")
                    },
                )
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"can't read {path}: {error}; give a reconstruction.npz") from error
