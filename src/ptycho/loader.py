"""Door: containers of grouped patterns, channel-last, as older clients load them."""

from typing import NamedTuple

from ptycho.interop.container import GroupArrays as PtychoDataContainer
from ptycho.interop.container import load

__all__ = ["PtychoDataContainer", "PtychoDataset", "load"]


class PtychoDataset(NamedTuple):
    """Groups to train on, and groups to judge by."""

    train_data: PtychoDataContainer
    test_data: PtychoDataContainer
