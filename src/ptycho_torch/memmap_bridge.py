"""Door: ``MemmapDatasetBridge``, a scan larger than memory whose patterns are mapped. Opens without torch."""

from pathlib import Path
from typing import Any

import numpy as np

from ptycho.acquisition.readers.mapped import mapped_arrays
from ptycho.config.config import InferenceConfig, TrainingConfig
from ptycho_torch.raw_data_bridge import RawDataTorch

__all__ = ["MemmapDatasetBridge"]


class MemmapDatasetBridge:
    """A scan in a file, as ``raw_data_torch`` with its patterns mapped and read-only.

    Patterns that must be unpacked first go to ``memmap_dir``, by default ``memmap`` in ``config.output_dir``, the
    folder for all that is written.
    """

    def __init__(
        self,
        npz_path: Path | str,
        config: TrainingConfig | InferenceConfig,
        memmap_dir: Path | str | None = None,
    ) -> None:
        folder = Path(config.output_dir) / "memmap" if memmap_dir is None else Path(memmap_dir)
        stored = mapped_arrays(Path(npz_path), folder)
        index = np.arange(len(stored.x)) if stored.scan_index is None else stored.scan_index
        raw = RawDataTorch(stored.x, stored.y, stored.patterns, stored.probe, index, stored.object_, config)
        raw.bad_pixels, raw.nphotons, raw.rule = stored.bad_pixels, stored.nphotons, stored.rule
        self.raw_data_torch = raw

    def get_grouped_data(self, N: int, K: int, nsamples: int, gridsize: int, seed: int | None = None) -> dict[str, Any]:
        """Draw groups as `ptycho_torch.raw_data_bridge.RawDataTorch` does; only their patterns are read."""
        return self.raw_data_torch.generate_grouped_data(N, K=K, nsamples=nsamples, seed=seed, gridsize=gridsize)
