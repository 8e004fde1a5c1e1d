"""A scan on its device: every pattern stored once, gathered by index."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Shaped
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho_torch.data.thinning import Thinning

# CUDA gathers no unsigned integers of more than one byte: their bits travel as signed ones.
TRAVELS_AS = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
ALL = slice(None)


@dataclass(frozen=True)
class Scan:
    """Patterns (position, y, x) in the dtype of their file, positions (position, 2) (y, x) px, detector mask (y, x)."""

    patterns: Shaped[Tensor, "position y x"]
    positions: Float64[Tensor, "position 2"]
    mask: Bool[Tensor, "y x"]
    count_scale: float | None

    @staticmethod
    def of(acquisition: Acquisition, device: torch.device | str = "cpu") -> "Scan":
        """Return the scan of an acquisition; on the CPU, frames in order and in native bytes are not copied."""
        native = acquisition.patterns.dtype.newbyteorder("=")
        with warnings.catch_warnings():
            # Patterns that stay in their file can't be written to, and nothing here does.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            patterns = torch.as_tensor(np.ascontiguousarray(acquisition.patterns, native), device=device)
        return Scan(
            patterns,
            torch.as_tensor(acquisition.positions, device=device),
            torch.as_tensor(acquisition.mask, device=device),
            None if acquisition.quantity == "counts" else acquisition.count_scale,
        )

    @property
    def size(self) -> int:
        """Side N of a pattern, px."""
        return int(self.patterns.shape[-1])

    def __len__(self) -> int:
        return len(self.positions)

    def counts(self, indices: Int64[Tensor, " patch"] | slice) -> Float32[Tensor, "patch y x"]:
        """Return patterns in counts, zero where the detector can't be trusted."""
        dtype = self.patterns.dtype
        patterns = self.patterns.view(TRAVELS_AS.get(dtype, dtype))[indices].view(dtype).to(torch.float32)
        counts = patterns if self.count_scale is None else (self.count_scale * patterns).square()
        return torch.where(self.mask, counts, 0)

    def split(
        self, fraction: float, frames: Int64[Tensor, " frame"] | slice = ALL, seed: int = 0
    ) -> tuple["Scan", "Scan"]:
        """Return two scans of counts of some frames: each photon is in the second with a probability, or in the first.

        As `ptycho_torch.data.thinning.Thinning` does it; patterns that are no whole counts are rounded.
        """
        thin = Thinning(fraction, torch.Generator(device=self.positions.device).manual_seed(seed))
        first, second = (
            replace(self, patterns=part, positions=self.positions[frames], count_scale=None)
            for part in thin(self.counts(frames))
        )
        return first, second
