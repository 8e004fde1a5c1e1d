"""Kernels of our own for a GPU, where its compiler can make them."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Way = TypeVar("Way")


def made(make: Callable[[], Way], trial: Callable[[Way], object], plain: Way, what: str) -> Way:
    """Return a way to compute something by kernels, once it has proved to work, or the plain way with a warning.

    Parameters
    ----------
    make
        Opens the compiler, which is not installed everywhere, and returns the way.
    trial
        Launches what the compiler may refuse.
    plain
        Does the same on any device.
    what
        Has no kernels, in the words of the warning.
    """
    import torch

    try:
        way = make()
        trial(way)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler fails in many ways, and none of them is worth a run
        why = (str(error).strip() or repr(error)).splitlines()[0]
        logger.warning("%s no kernels of their own, which is slower: %s", what, why)
        return plain
    return way


def may_be_launched(like: "torch.Tensor") -> bool:
    """Return whether a tensor lies where kernels are launched: on the GPU that is the current one."""
    import torch

    return like.is_cuda and like.get_device() == torch.cuda.current_device()
