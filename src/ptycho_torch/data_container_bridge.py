"""Door: ``PtychoDataContainerTorch``, grouped patterns as tensors, channel-last, for clients that look at them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.config.config import TrainingConfig
from ptycho.raw_data import RawData

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
        from ptycho_torch.data.container import group_tensors

        tensors = group_tensors(grouped_data, probe)
        self._tensors = tensors
        self.X: Tensor = tensors.X
        self.Y: Tensor = tensors.Y
        self.Y_I: Tensor = tensors.Y.abs()
        self.Y_phi: Tensor = tensors.Y.angle()
        self.coords: Tensor = tensors.local_offsets.float()
        self.coords_nominal = self.coords_true = self.coords_relative = self.coords
        self.local_offsets: Tensor = tensors.local_offsets
        self.global_offsets: Tensor = tensors.global_offsets
        self.nn_indices: Tensor = tensors.nn_indices
        self.probe: Tensor = tensors.probe
        self.norm_Y_I = grouped_data.get("norm_Y_I")
        self.YY_full = grouped_data.get("objectGuess")

    @classmethod
    def from_raw_data(cls, raw_data: RawData, config: TrainingConfig) -> "PtychoDataContainerTorch":
        """Group a scan as the configuration says; without oversampling no position is a seed twice."""
        n_positions = len(raw_data.xcoords)
        n_groups = config.n_groups or n_positions
        grouped = raw_data.generate_grouped_data(
            config.model.N,
            K=config.neighbor_count,
            nsamples=n_groups if config.enable_oversampling else min(n_groups, n_positions),
            seed=config.subsample_seed,
            sequential_sampling=config.sequential_sampling,
            gridsize=config.model.gridsize,
            enable_oversampling=config.enable_oversampling,
            neighbor_pool_size=config.neighbor_pool_size,
        )
        return cls(grouped, raw_data.probeGuess)

    def __len__(self) -> int:
        return len(self.X)

    def acquisition(self, nphotons: float | None = None) -> Acquisition:
        """Return the scan that the groups were drawn from."""
        from ptycho_torch.data.container import scan_of_groups

        return scan_of_groups(self._tensors, nphotons)
