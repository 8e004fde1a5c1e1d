"""Kernels of our own for a GPU, where its compiler can make them."""

import logging
from collections.abc import Callable
from typing import TypeVar

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
    try:
        way = make()
        trial(way)
    except Exception as error:  # a compiler fails in many ways, and none of them is worth a run
        why = (str(error).strip() or repr(error)).splitlines()[0]
        logger.warning("%s no kernels of their own, which is slower: %s", what, why)
        return plain
    return way
