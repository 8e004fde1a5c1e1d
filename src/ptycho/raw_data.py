"""Door: ``RawData``, a scan as older clients build, store and group it. The work is done in the rooms."""

from typing import Any

from numpy.random import default_rng
from numpy.typing import NDArray

from ptycho import params
from ptycho.grouping.materialise import normalise
from ptycho.interop.raw_data import ScanData
from ptycho.interop.simulation import simulate_scan

__all__ = ["RawData", "normalize_data"]


def normalize_data(dset: dict[str, Any], N: int) -> NDArray[Any]:
    """Return ``dset["diffraction"]`` (group, y, x, member) at a mean energy of N^2 / 4, float32."""
    return normalise(dset["diffraction"], N)


class RawData(ScanData):
    """A scan; a group has as many members as ``gridsize`` squared, and the older dictionary knows it by default."""

    @staticmethod
    def from_simulation(
        xcoords: NDArray[Any],
        ycoords: NDArray[Any],
        probeGuess: NDArray[Any],
        objectGuess: NDArray[Any],
        scan_index: NDArray[Any] | None = None,
    ) -> "RawData":
        """Return a simulated scan; counts of a frame and seed are ``nphotons`` and ``npseed`` of the dictionary."""
        nphotons, rng = float(params.get("nphotons")), default_rng(params.get("npseed"))
        scan = (xcoords, ycoords, probeGuess, objectGuess, scan_index)
        return simulate_scan(RawData, *scan, nphotons=nphotons, rng=rng)

    def default_gridsize(self) -> int:
        """Return ``gridsize`` of the older dictionary."""
        return int(params.get("gridsize", 1))
