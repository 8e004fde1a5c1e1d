"""Door: ``RawDataTorch``, a scan in memory for the PyTorch engine; the same groups as ``ptycho.raw_data.RawData``."""

from typing import Any

from numpy.typing import NDArray

from ptycho import params
from ptycho.config import config as ptycho_config
from ptycho.raw_data import RawData

__all__ = ["RawDataTorch"]


class RawDataTorch(RawData):
    """A scan whose nominal positions are its positions.

    With ``config`` the older dictionary is brought up to date first, so that groups have the configured size.
    """

    def __init__(
        self,
        xcoords: NDArray[Any],
        ycoords: NDArray[Any],
        diff3d: NDArray[Any],
        probeGuess: NDArray[Any],
        scan_index: NDArray[Any],
        objectGuess: NDArray[Any] | None = None,
        config: ptycho_config.TrainingConfig | ptycho_config.InferenceConfig | None = None,
    ) -> None:
        if config is not None:
            ptycho_config.update_legacy_dict(params.cfg, config)
        super().__init__(xcoords, ycoords, xcoords, ycoords, diff3d, probeGuess, scan_index, objectGuess)

    def generate_grouped_data(
        self,
        N: int,
        K: int = 4,
        nsamples: int = 1,
        seed: int | None = None,
        sequential_sampling: bool = False,
        gridsize: int | None = None,
        dataset_path: str | None = None,
        enable_oversampling: bool = False,
        neighbor_pool_size: int | None = None,
    ) -> dict[str, Any]:
        """Draw groups as `ptycho.raw_data.RawData.generate_grouped_data` does; the arguments stand in another order."""
        return super().generate_grouped_data(
            N,
            K,
            nsamples,
            dataset_path,
            seed,
            sequential_sampling,
            gridsize,
            enable_oversampling,
            neighbor_pool_size,
        )
