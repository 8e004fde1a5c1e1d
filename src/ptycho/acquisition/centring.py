"""Which pixel of a patch a scan position names: index N // 2 here, the middle (N - 1) / 2 in Ptychodus.

Positions are moved once, where they come in; everything behind knows index N // 2 only.
"""

import logging
from typing import Any

from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def half_pixel(size: int) -> float:
    """Return how far, px, index N // 2 of a patch lies behind its middle: 0.5 for even N, 0 for odd."""
    return size // 2 - (size - 1) / 2


def from_middle(x: NDArray[Any], y: NDArray[Any], size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return columns and rows, px, that name index N // 2 of a patch, from those that name its middle.

    An object reconstructed without this lies half a pixel off.
    """
    logger.info("positions name the middle of a patch, as those of Ptychodus do: %g px are added", half_pixel(size))
    return x + half_pixel(size), y + half_pixel(size)
