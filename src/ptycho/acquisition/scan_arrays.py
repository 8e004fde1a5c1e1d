"""The arrays of the documented npz layout, as files and older clients hold them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.base.arrays import Positions
from ptycho.base.errors import DataError
from ptycho.optics.geometry import Geometry
from ptycho.optics.intensity import CountRule

# Key of the patch index that a position names, N // 2: a file that has it needs no guess.
PATCH_INDEX = "patch_index"
FRAME_INDEX = "frame_index"
# Key in a file -> field of its geometry, with the unit in the key.
GEOMETRY_KEYS = {
    "energy_eV": "energy",
    "distance_m": "distance",
    "detector_pixel_m": "detector_pixel",
    "object_pixel_m": "object_pixel",
    "origin_m": "origin",
}


@dataclass(frozen=True, eq=False)
class ScanArrays:
    """The arrays of a file in the documented layout as they are stored; None for what it lacks.

    Attributes
    ----------
    patterns
        ``diff3d``, else ``diffraction``; axes as in the file.
    x, y
        ``xcoords``, ``ycoords``, px, (position,): the object pixel that lands on patch index N // 2.
    x_start, y_start
        ``xcoords_start``, ``ycoords_start``: nominal positions, px.
    probe, object_, labels, scan_index
        ``probeGuess``, ``objectGuess``, ``Y``, else ``label`` (true patch of every position), ``scan_index``.
    bad_pixels
        ``bad_pixels`` or not ``mask``, (y, x) bool.
    nphotons
        Mean counts of a frame by the file's label: ``nphotons`` or the one in ``_metadata``.
    rule
        What the patterns hold, where the file states it (``quantity``, ``count_scale``).
    geometry, notes
        Energy and lengths (``energy_eV``, ``distance_m``, ``detector_pixel_m``, ``object_pixel_m``, ``origin_m``), and
        ``notes``, what an earlier reader decided.
    indexes
        ``frame_index``, the number that other files of the scan know a frame by.
    """

    patterns: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    probe: NDArray[Any]
    x_start: NDArray[Any] | None = None
    y_start: NDArray[Any] | None = None
    object_: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    scan_index: NDArray[Any] | None = None
    bad_pixels: NDArray[Any] | None = None
    nphotons: float | None = None
    rule: CountRule | None = None
    geometry: Geometry | None = None
    notes: tuple[str, ...] = ()
    indexes: NDArray[Any] | None = None

    @property
    def positions(self) -> Positions:
        """Positions (position, 2), (y, x) px: the object pixel that lands on patch index N // 2."""
        return positions_yx(self.x, self.y)

    @property
    def start_positions(self) -> Positions | None:
        """Nominal positions (position, 2), (y, x) px."""
        return None if self.x_start is None or self.y_start is None else positions_yx(self.x_start, self.y_start)

    def acquisition(self, nphotons: float | None = None) -> Acquisition:
        """Return the scan; ``nphotons`` are the mean counts of a frame where nothing else says them.

        Raises
        ------
        DataError
            The arrays can't be used.
        """
        acquisition = acquisition_from_arrays(
            self.patterns,
            self.positions,
            self.probe,
            bad_pixels=self.bad_pixels,
            object_=self.object_,
            labels=self.labels,
            rule=self.rule,
            labelled=self.nphotons,
            nphotons=nphotons,
        )
        return replace(acquisition, geometry=self.geometry, notes=self.notes, indexes=self.indexes)


def positions_yx(x: NDArray[Any], y: NDArray[Any]) -> Positions:
    """Return columns ``x`` and rows ``y`` as positions (position, 2), (y, x).

    Raises
    ------
    DataError
        They aren't two lists of one length.
    """
    if x.dtype.kind not in "iuf" or y.dtype.kind not in "iuf":
        raise DataError(f"found coordinates of type {x.dtype} and {y.dtype}, expected real numbers, px; convert them")
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError(
            f"found xcoords of shape {x.shape} and ycoords of shape {y.shape}, expected (n,) both; give one a frame"
        )
    return np.stack([y, x], axis=1).astype(np.float64)
