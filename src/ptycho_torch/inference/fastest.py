"""Which pages a GPU gets: kernels of its own where they can be made and pay."""

import functools
import logging

import torch

from ptycho_torch.inference.pages import Pages
from ptycho_torch.physics.patches import PatchesAt

logger = logging.getLogger(__name__)

# Pixels, times the iterations over them, from which kernels are worth the seconds that it takes to make them.
FUSED_FROM = 2**32


def pages_for(device: torch.device, n_pixels: int) -> Pages:
    """Return what computes pixels on a device, so many of them in all; plain where sums shall be repeatable."""
    if device.type != "cuda" or n_pixels < FUSED_FROM or torch.are_deterministic_algorithms_enabled():
        return Pages()
    return _fused(device)


@functools.cache
def _fused(device: torch.device) -> Pages:
    try:
        from ptycho_torch.inference.fused import FusedPages

        pages = FusedPages()
        probes = torch.zeros(1, 1, 8, 8, dtype=torch.complex64, device=device)
        look = PatchesAt(torch.zeros(1, 2, dtype=torch.int64, device=device), 8, (8, 8))
        pages.exit_waves(probes, look, probes[0, 0])
    except Exception as error:  # a compiler fails in many ways, and none of them is worth a run
        why = (str(error).strip() or repr(error)).splitlines()[0]
        logger.warning("iterations have no kernels of their own, which is slower: %s", why)
        return Pages()
    return pages
