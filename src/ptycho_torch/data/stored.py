"""Patterns that stay where they are stored and travel to a device step by step."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from ptycho.base.blocks import give_back

# Bytes that are read from a file before its pages are given back: giving back costs time that grows with the file.
KEPT = 2**26


class StoredPatterns:
    """Patterns in a file or in memory, brought to a device by index.

    Parameters
    ----------
    patterns
        (position, y, x) of any real type and order of bytes; a view of a file is read frame by frame.
    device
        Where they are wanted.
    """

    def __init__(self, patterns: Shaped[np.ndarray, "position y x"], device: torch.device) -> None:
        self._patterns, self._device = patterns, device
        self._native = patterns.dtype.newbyteorder("=")
        self._n_read = 0

    def __len__(self) -> int:
        return len(self._patterns)

    def __getitem__(self, part: tuple[slice, ...]) -> "StoredPatterns":
        """Return a part of all patterns, still stored."""
        return StoredPatterns(self._patterns[part], self._device)

    def at(self, indices: Int64[Tensor, " patch"] | slice) -> Shaped[Tensor, "patch y x"]:
        """Return some of the patterns on the device, in their type."""
        frames = self._read(indices if isinstance(indices, slice) else indices.cpu().numpy())
        there = torch.from_numpy(frames)
        if self._device.type != "cuda":
            return there.to(self._device)
        return there.pin_memory().to(self._device, non_blocking=True)

    def _read(self, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
        frames: NDArray[Any] = np.array(self._patterns[rows], self._native, order="C")
        self._n_read += frames.nbytes
        if self._n_read > KEPT:
            give_back(self._patterns)
            self._n_read = 0
        return frames
