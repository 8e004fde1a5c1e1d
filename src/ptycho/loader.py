"""Door: containers of grouped patterns, channel-last, as older clients load them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ptycho.interop import container
from ptycho.interop.container import GroupArrays as PtychoDataContainer

__all__ = ["PtychoDataContainer", "PtychoDataset", "load"]


class PtychoDataset(NamedTuple):
    """Groups to train on, and groups to judge by."""

    train_data: PtychoDataContainer
    test_data: PtychoDataContainer


def load(
    cb: Callable[[], Any], probeGuess: NDArray[Any], which: str | None = None, create_split: bool = False
) -> PtychoDataContainer:
    """Return the container of the grouped dictionary that ``cb`` returns, as `ptycho.interop.container.load` says."""
    return container.load(cb, probeGuess, which, create_split)
