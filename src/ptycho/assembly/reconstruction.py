"""The reconstruction: the object with where it lies, how well it was covered, and how it came about."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Complex64, Float32, Float64, Int
from numpy import ndarray

from ptycho.acquisition.readers.archive import Archive, open_archive
from ptycho.acquisition.readers.npz import read_geometry
from ptycho.acquisition.scan_arrays import FRAME_INDEX
from ptycho.acquisition.writers.npz import geometry_keys, write_keys
from ptycho.base.arrays import Object, Positions, Probe
from ptycho.base.errors import DataError
from ptycho.base.mapped import rows_of
from ptycho.optics.geometry import Geometry

CURVE = "history_"
KEYS = ("object", "coverage", "origin", "probe", "positions")
REFINED = ("corrected_positions", "flux", "background", "variations", "variation_weights")


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
        (position, 2) float64, (y, x) px: the positions that the scan says.
    corrected_positions
        (position, 2) float64, (y, x) px: where the frames were, mean correction zero; None where that was not refined.
    flux
        (position,) float32: counts of a frame over those that the probe gives it, mean one; None where not refined.
    background
        Counts that every detector pixel gets without the sample; None where not refined.
    variations, variation_weights
        (variation, y, x) complex64, sqrt(counts), and (position, variation) float32: the main mode of the probe in
        frame j is P + sum_k a_jk V_k; None where it is the same in all of them.
    history
        Name of a curve (such as "deviance") -> its values, one an iteration or epoch.
    geometry, indexes
        Of the scan: energy and lengths, and the numbers of its frames, where they are known.
    """

    object_: Object
    coverage: Float32[ndarray, "height width"]
    origin: Float64[ndarray, "2"]
    probe: Probe
    positions: Positions
    history: dict[str, list[float]] = field(default_factory=dict)
    geometry: Geometry | None = None
    indexes: Int[ndarray, " position"] | None = None
    corrected_positions: Positions | None = None
    flux: Float32[ndarray, " position"] | None = None
    background: float | None = None
    variations: Complex64[ndarray, "variation y x"] | None = None
    variation_weights: Float32[ndarray, "position variation"] | None = None

    @property
    def corrections(self) -> Positions | None:
        """How far every frame was from where the scan says, (y, x) px; None where that was not refined."""
        return None if self.corrected_positions is None else self.corrected_positions - self.positions

    def thinned(self, step: int) -> "Reconstruction":
        """Return every ``step``-th pixel along y and x, and as few of the positions; origin and positions stay in px.

        What lies in a file is read from there row by row.
        """
        rows = np.arange(0, self.object_.shape[0], step)
        object_, coverage = (rows_of(image, rows)[:, ::step] for image in (self.object_, self.coverage))
        return replace(self, object_=object_, coverage=coverage, positions=self.positions[::step])

    def write(self, path: Path) -> None:
        """Write an npz, whole or not at all.

        Keys: object, coverage, origin, probe, positions, history_*, what was refined besides under its own name, and
        those of energy, lengths and frames in a scan.
        """
        arrays: dict[str, Any] = {f"{CURVE}{name}": np.asarray(curve) for name, curve in self.history.items()}
        refined = {name: getattr(self, name) for name in REFINED}
        known = {**geometry_keys(self.geometry), FRAME_INDEX: self.indexes, **refined}
        arrays |= {key: np.asarray(value) for key, value in known.items() if value is not None}
        always = {
            "object": self.object_,
            "coverage": self.coverage,
            "origin": self.origin,
            "probe": self.probe,
            "positions": self.positions,
        }
        write_keys(path, always | arrays)

    @staticmethod
    def read(path: Path) -> "Reconstruction":
        """Read what ``write`` wrote.

        Raises
        ------
        DataError
            The file is not a reconstruction.
        """
        with open_archive(path) as archive:
            missing = [key for key in KEYS if key not in archive]
            if missing:
                raise DataError(
                    f"found {archive.kind}, missing {', '.join(missing)}; "
                    "expected a reconstruction; "
                    "give the reconstruction.npz that `ptycho reconstruct` wrote"
                )
            curves = [key for key in archive.keys if key.startswith(CURVE)]
            object_ = _finite(archive, "object", (None, None), np.complex64)
            probe = _finite(archive, "probe", (None, None, None), np.complex64)
            positions = _finite(archive, "positions", (None, 2), np.float64)
            return Reconstruction(
                object_=object_,
                coverage=_finite(archive, "coverage", object_.shape, np.float32),
                origin=_finite(archive, "origin", (2,), np.float64),
                probe=probe,
                positions=positions,
                history={key.removeprefix(CURVE): _numbers(archive, key, (None,)).tolist() for key in sorted(curves)},
                geometry=read_geometry(archive),
                indexes=_numbers(archive, FRAME_INDEX, (None,), "iu") if FRAME_INDEX in archive else None,
                **_refined(archive, len(positions), probe.shape[1:]),
            )


def _refined(archive: Archive, n_positions: int, size: tuple[int, ...]) -> dict[str, Any]:
    """Return what an archive says of the parts that may have been refined besides object and probe."""
    shapes: dict[str, tuple[tuple[int | None, ...], type]] = {
        "corrected_positions": ((n_positions, 2), np.float64),
        "flux": ((n_positions,), np.float32),
        "background": ((), np.float64),
        "variations": ((None, *size), np.complex64),
        "variation_weights": ((n_positions, None), np.float32),
    }
    found = {name: _finite(archive, name, *shapes[name]) for name in REFINED if name in archive}
    return found | {name: float(found[name]) for name in ("background",) if name in found}


def _finite(archive: Archive, key: str, shape: tuple[int | None, ...], dtype: type) -> ndarray:
    """Return an array as ``dtype``, finite in it."""
    array = _numbers(archive, key, shape, "fc" if dtype is np.complex64 else "iuf")
    with np.errstate(over="ignore"):
        converted: ndarray = array.astype(dtype, copy=False)
    if not np.isfinite(converted).all():
        raise DataError(f"found NaN, infinity or too large values in {key}; expected finite ones; reconstruct again")
    return converted


def _numbers(archive: Archive, key: str, shape: tuple[int | None, ...], kinds: str = "iuf") -> ndarray:
    """Return an array of numbers; None in ``shape`` is any length but 0."""
    array = archive[key]
    fits = len(array.shape) == len(shape) and all(
        n == m or (m is None and n) for n, m in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype.kind not in kinds:
        raise DataError(
            f"found {key} of shape {array.shape} and dtype {array.dtype}; expected finite "
            f"{'complex' if 'c' in kinds else 'real'} numbers of shape {_in_words(shape)}; reconstruct again"
        )
    return array


def _in_words(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if length is None else str(length) for length in shape)})"
