"""Patterns that stay where they are stored and travel to a device step by step, the next while it still works."""

import itertools
import math
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from ptycho.base.blocks import BLOCK
from ptycho.base.mapped import rows_of
from ptycho_torch.base.devices import free_memory

# Share of the free memory of a device that patterns may fill; larger ones stay where they are and travel step by step.
FITS = 0.5


class StoredPatterns:
    """Patterns in a file or in memory, brought to a device by index.

    Parameters
    ----------
    patterns
        (position, y, x) of any real type and order of bytes; a view of a file is read frame by frame.
    device
        Where they are wanted.
    rows
        Which of them there are; all when None.
    """

    def __init__(
        self,
        patterns: Shaped[np.ndarray, "position y x"],
        device: torch.device,
        rows: Int64[np.ndarray, " pattern"] | None = None,
    ) -> None:
        self._patterns, self._device = patterns, device
        self._rows = np.arange(len(patterns)) if rows is None else rows
        self._native = patterns.dtype.newbyteorder("=")
        self._type = torch.from_numpy(np.empty(0, self._native)).dtype
        self._ahead: tuple[NDArray[np.int64], Future[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dtype(self) -> torch.dtype:
        """Type in which patterns come to the device."""
        return self._type

    def middle(self, rows: slice, columns: slice) -> "StoredPatterns":
        """Return some pixels of all patterns, still stored."""
        return StoredPatterns(self._patterns[:, rows, columns], self._device, self._rows)

    def part(self, frames: Int64[Tensor, " frame"]) -> "StoredPatterns | Tensor":
        """Return some of the patterns: on a GPU where they fit, else still stored."""
        return StoredPatterns(self._patterns, self._device, self._rows[frames.cpu().numpy()]).brought()

    def brought(self) -> "StoredPatterns | Tensor":
        """Return all of them on the device where that is no CPU and they fit, else as they are."""
        shape, device = (len(self), *self._patterns.shape[1:]), self._device
        n_bytes = math.prod(shape) * self._native.itemsize
        if device.type == "cpu" or (device.type == "cuda" and n_bytes > FITS * free_memory(device)):
            return self
        there = torch.empty(shape, dtype=self._type, device=device)
        chunks = torch.arange(len(self)).split(max(1, BLOCK * len(self) // max(1, n_bytes)))
        for frames, then in itertools.zip_longest(chunks, chunks[1:]):
            there[int(frames[0]) : int(frames[-1]) + 1] = self.at(frames, then)
        return there

    def at(
        self, indices: Int64[Tensor, " patch"] | slice, then: Int64[Tensor, " next"] | None = None
    ) -> Shaped[Tensor, "patch y x"]:
        """Return some of the patterns on the device, in their type; ``then`` are those that will be asked for next.

        A thread reads these while the caller goes on.

        Raises
        ------
        DataError
            Their file can't be read any more.
        """
        rows = np.arange(len(self))[indices] if isinstance(indices, slice) else indices.cpu().numpy()
        ahead, self._ahead = self._ahead, None
        frames = ahead[1].result() if ahead is not None and np.array_equal(ahead[0], rows) else self._read(rows)
        if then is not None:
            following = then.cpu().numpy()
            self._ahead = following, self._reader.submit(self._read, following)
        return frames.to(self._device, non_blocking=True)

    @cached_property
    def _reader(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="patterns")

    def _read(self, rows: NDArray[np.int64]) -> Shaped[Tensor, "patch y x"]:
        """Return some of the patterns in memory, page-locked where a GPU wants them."""
        frames = torch.empty(
            (len(rows), *self._patterns.shape[1:]), dtype=self._type, pin_memory=self._device.type == "cuda"
        )
        stored = frames.numpy().view(self._patterns.dtype)
        rows_of(self._patterns, self._rows[rows], stored)
        if stored.dtype != self._native:
            stored.byteswap(inplace=True)
        return frames
