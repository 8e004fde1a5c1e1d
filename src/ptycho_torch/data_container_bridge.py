"""Door: ``PtychoDataContainerTorch``, grouped patterns as tensors, channel-last, for clients that look at them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.config.config import TrainingConfig
from ptycho.interop.container import group_arrays, group_scan
from ptycho.interop.raw_data import ScanData

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PtychoDataContainerTorch"]


class PtychoDataContainerTorch:
    """Groups of patterns as tensors.

    ``X`` (group, y, x, member) normalised amplitude; ``Y`` true patches (ones where unknown), ``Y_I`` and
    ``Y_phi``; ``coords_nominal`` = ``coords_true`` = ``coords`` (group, 1, 2, member) [x, y] px, *minus* the distance
    to the group's mean; ``local_offsets`` the same in float64, ``global_offsets`` the means; ``nn_indices``; ``probe``.
    """

    def __init__(self, grouped_data: Mapping[str, Any], probe: NDArray[Any]) -> None:
        from torch import from_numpy, int32

        self._arrays = arrays = group_arrays(grouped_data, probe)
        self.X: Tensor = from_numpy(arrays.X)
        self.Y: Tensor = from_numpy(arrays.Y)
        self.Y_I: Tensor = self.Y.abs()
        self.Y_phi: Tensor = self.Y.angle()
        self.local_offsets: Tensor = from_numpy(arrays.local_offsets)
        self.global_offsets: Tensor = from_numpy(arrays.centres)
        self.coords: Tensor = self.local_offsets.float()
        self.coords_nominal = self.coords_true = self.coords_relative = self.coords
        self.nn_indices: Tensor = from_numpy(arrays.nn_indices).to(int32)
        self.probe: Tensor = from_numpy(arrays.probe)
        self.norm_Y_I, self.YY_full = arrays.norm_Y_I, arrays.YY_full

    @classmethod
    def from_raw_data(cls, raw_data: ScanData, config: TrainingConfig) -> "PtychoDataContainerTorch":
        """Group a scan as the configuration says; without oversampling no position is a seed twice."""
        return cls(group_scan(raw_data, config), raw_data.probeGuess)

    @classmethod
    def of(cls, data: Any, config: TrainingConfig) -> Any:
        """Return the container of a scan; a container, or None, as it is."""
        return cls.from_raw_data(data, config) if isinstance(data, ScanData) else data

    def __len__(self) -> int:
        return len(self.X)

    def acquisition(self, nphotons: float | None = None) -> Acquisition:
        """Return the scan that the groups were drawn from."""
        return self._arrays.acquisition(nphotons)
