"""Which pages a GPU gets: kernels of its own where they can be made and pay."""

import functools

import torch

from ptycho_torch.base.kernels import made
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.pages import Pages, Pixels

# Pixels, times the iterations over them, from which kernels are worth the seconds that it takes to make them.
FUSED_FROM = 2**32


def pages_for(device: torch.device, n_pixels: int) -> Pages:
    """Return what computes pixels on a device, so many of them in all; plain where sums shall be repeatable."""
    if device.type != "cuda" or n_pixels < FUSED_FROM or torch.are_deterministic_algorithms_enabled():
        return Pages()
    return _fused(device)


@functools.cache
def _fused(device: torch.device) -> Pages:
    def make() -> Pages:
        from ptycho_torch.inference.fused import FusedPages

        return FusedPages()

    fields, nothing = torch.zeros(1, 1, 8, 8, dtype=torch.complex64, device=device), torch.zeros((), device=device)
    first, trusted = torch.zeros(1, dtype=torch.int64, device=device), fields[0] == 0
    scan = Scan(fields[0].real, torch.zeros(1, 2, dtype=torch.float64, device=device), trusted[0], None)
    pixels = Pixels(scan, first, None, ~trusted, first)

    def trial(pages: Pages) -> None:
        pages.bent(fields, fields, nothing, nothing, pixels)
        pages.judged(fields, (fields, nothing), nothing, pixels, each=True)

    return made(make, trial, Pages(), "iterations have")
