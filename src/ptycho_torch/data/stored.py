"""Patterns that stay where they are stored and travel to a device step by step, the next while it still works."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from ptycho.base.mapped import rows_of


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
        self._type = torch.from_numpy(np.empty(0, self._native)).dtype
        self._ahead: tuple[NDArray[np.int64], Future[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._patterns)

    def __getitem__(self, part: tuple[slice, ...]) -> "StoredPatterns":
        """Return a part of all patterns, still stored."""
        return StoredPatterns(self._patterns[part], self._device)

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
        rows_of(self._patterns, rows, stored)
        if stored.dtype != self._native:
            stored.byteswap(inplace=True)
        return frames
