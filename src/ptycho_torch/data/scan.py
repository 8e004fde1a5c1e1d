"""A scan for its device: every pattern stored once, there or in a file, gathered by index."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Shaped
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.mapped import is_mapped
from ptycho_torch.base.kernels import made, may_be_launched
from ptycho_torch.data.stored import StoredPatterns
from ptycho_torch.data.thinning import Thinning

# CUDA gathers no unsigned integers of more than one byte: their bits travel as signed ones.
TRAVELS_AS = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
ALL = slice(None)


@dataclass(frozen=True)
class Scan:
    """Patterns (position, y, x) in the dtype of their file, positions (position, 2) (y, x) px, detector mask (y, x).

    All lie on one device but patterns that are larger than it: `counts` brings those that are asked for.
    """

    patterns: Shaped[Tensor, "position y x"] | StoredPatterns
    positions: Float64[Tensor, "position 2"]
    mask: Bool[Tensor, "y x"]
    count_scale: float | None

    @staticmethod
    def of(acquisition: Acquisition, device: torch.device | str = "cpu") -> "Scan":
        """Return the scan of an acquisition.

        On the CPU nothing is copied: patterns stay in memory or in their file. A GPU gets all of them where they fit.
        """
        device = torch.device(device)
        return Scan(
            _patterns(acquisition.patterns, device),
            torch.as_tensor(acquisition.positions, device=device),
            torch.as_tensor(acquisition.mask, device=device),
            None if acquisition.quantity == "counts" else acquisition.count_scale,
        )

    @property
    def size(self) -> int:
        """Side N of a pattern, px."""
        return int(self.mask.shape[-1])

    def __len__(self) -> int:
        return len(self.positions)

    def counts(
        self, indices: Int64[Tensor, " patch"] | slice, then: Int64[Tensor, " next"] | None = None
    ) -> Float32[Tensor, "patch y x"]:
        """Return patterns in counts, zero where the detector can't be trusted.

        ``then`` are those that will be asked for next: where they lie in a file they are read meanwhile.

        Raises
        ------
        DataError
            The file of the patterns can't be read any more.
        """
        if isinstance(self.patterns, StoredPatterns):
            return _counts(self.patterns.at(indices, then), ALL, self.mask, self.count_scale)
        by_kernels = isinstance(indices, Tensor) and may_be_launched(self.patterns)
        counts = _kernels(self.patterns.device) if by_kernels else _counts
        return counts(self.patterns, indices, self.mask, self.count_scale)

    def stored(
        self, frames: Int64[Tensor, " frame"], then: Int64[Tensor, " next"] | None = None
    ) -> tuple[Shaped[Tensor, "position y x"], Int64[Tensor, " frame"]]:
        """Return patterns as they are stored, on the device, and which of them frames are; ``then`` as in `counts`."""
        if isinstance(self.patterns, StoredPatterns):
            return self.patterns.at(frames, then), torch.arange(len(frames), device=frames.device)
        return self.patterns, frames

    def part(self, frames: Int64[Tensor, " frame"]) -> "Scan":
        """Return the scan of some frames; those that are stored come to a GPU where they fit."""
        patterns = self.patterns
        there = patterns.part(frames) if isinstance(patterns, StoredPatterns) else _gathered(patterns, frames)
        return replace(self, patterns=there, positions=self.positions[frames])

    def middle(self, size: int) -> "Scan":
        """Return what the middle of the detector saw, ``size`` px wide; the positions are the same."""
        first = self.size // 2 - size // 2
        rows = columns = slice(first, first + size)
        stored = isinstance(self.patterns, StoredPatterns)
        patterns = self.patterns.middle(rows, columns) if stored else self.patterns[:, rows, columns]
        return replace(self, patterns=patterns, mask=self.mask[rows, columns])

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


def _patterns(patterns: Shaped[np.ndarray, "position y x"], device: torch.device) -> Tensor | StoredPatterns:
    """Return patterns on a device, or as they are stored where they lie in a file or are too many for it."""
    native = patterns.dtype.newbyteorder("=")
    if device.type == "cpu":
        if is_mapped(patterns):
            return StoredPatterns(patterns, device)
        with warnings.catch_warnings():
            # Patterns may be in memory that can't be written to, and nothing here does.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.as_tensor(np.ascontiguousarray(patterns, native))
    return StoredPatterns(patterns, device).brought()


def _gathered(patterns: Tensor, indices: Tensor | slice) -> Tensor:
    return patterns.view(TRAVELS_AS.get(patterns.dtype, patterns.dtype))[indices].view(patterns.dtype)


def _counts(patterns: Tensor, indices: Tensor | slice, mask: Tensor, count_scale: float | None) -> Tensor:
    found = _gathered(patterns, indices).to(torch.float32)
    counts = found if count_scale is None else (count_scale * found).square()
    return torch.where(mask, counts, 0)


@functools.cache
def _kernels(device: torch.device) -> Callable[[Tensor, Tensor, Tensor, float | None], Tensor]:
    def make() -> Callable[[Tensor, Tensor, Tensor, float | None], Tensor]:
        from ptycho_torch.data.kernels import counts

        return counts

    patterns = torch.zeros(1, 8, 8, dtype=torch.uint16, device=device)
    first, mask = torch.zeros(1, dtype=torch.int64, device=device), torch.ones(8, 8, dtype=torch.bool, device=device)
    return made(make, lambda counts: counts(patterns, first, mask, None), _counts, "patterns have")
