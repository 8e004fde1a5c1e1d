"""Door: ``RawData``, a scan as older clients build, store and group it. The work is done in the rooms."""

from typing import Any

from numpy.typing import NDArray

from ptycho import params
from ptycho.grouping.materialise import normalise
from ptycho.interop.raw_data import ScanData

__all__ = ["RawData", "normalize_data"]


def normalize_data(dset: dict[str, Any], N: int) -> NDArray[Any]:
    """Return ``dset["diffraction"]`` (group, y, x, member) at a mean energy of N^2 / 4, float32."""
    return normalise(dset["diffraction"], N)


class RawData(ScanData):
    """A scan; a group has as many members as ``gridsize`` squared, and the older dictionary knows it by default."""

    def generate_grouped_data(
        self,
        N: int,
        K: int = 4,
        nsamples: int = 1,
        dataset_path: str | None = None,
        seed: int | None = None,
        sequential_sampling: bool = False,
        gridsize: int | None = None,
        enable_oversampling: bool = False,
        neighbor_pool_size: int | None = None,
    ) -> dict[str, Any]:
        """Draw groups as `ptycho.interop.raw_data.ScanData.generate_grouped_data` does."""
        return super().generate_grouped_data(
            N,
            K,
            nsamples,
            dataset_path,
            seed,
            sequential_sampling,
            int(params.get("gridsize", 1)) if gridsize is None else gridsize,
            enable_oversampling,
            neighbor_pool_size,
        )
