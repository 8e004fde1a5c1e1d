"""Which pages a GPU gets: kernels of its own where they can be made and pay."""

import functools

import torch
from torch import Tensor

from ptycho_torch.base.kernels import made
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.pages import Lit, Pages, Pixels
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.transforms import SIDES

# Pixels, times the iterations over them, from which kernels are worth the second that it takes to make them, and from
# which those are that transform too: a machine keeps them, once they are made, but that takes some twenty seconds.
FUSED_FROM, JOINED_FROM = 2**32, 2**37


def pages_for(scan: Scan, n_pixels: int) -> Pages:
    """Return what computes pixels of a scan, so many of them in all; plain where sums shall be repeatable."""
    device = scan.positions.device
    if device.type != "cuda" or n_pixels < FUSED_FROM or torch.are_deterministic_algorithms_enabled():
        return Pages()
    if n_pixels < JOINED_FROM or scan.size not in SIDES:
        return _fused(device)
    return _joined(device, scan.size, scan.patterns.dtype, scaled=scan.count_scale is not None)


@functools.cache
def _fused(device: torch.device) -> Pages:
    def make() -> Pages:
        from ptycho_torch.inference.fused import FusedPages

        return FusedPages()

    fields, nothing, pixels = _dark(device, 8, torch.float32, scaled=False)

    def trial(pages: Pages) -> None:
        pages.bent(fields, fields, nothing, nothing, pixels)
        pages.judged(fields, (fields, nothing), nothing, pixels, each=True)

    return made(make, trial, Pages(), "iterations have")


@functools.cache
def _joined(device: torch.device, size: int, dtype: torch.dtype, *, scaled: bool) -> Pages:
    def make() -> Pages:
        from ptycho_torch.inference.fused import JoinedPages

        return JoinedPages()

    fields, nothing, pixels = _dark(device, size, dtype, scaled=scaled)
    lit = Lit(PatchesAt(torch.zeros(1, 2, dtype=torch.int64, device=device), size, (size, size)), fields)

    def trial(pages: Pages) -> None:
        change, _ = pages.changed(lit, fields[0, 0], fields, nothing, nothing, pixels)
        pages.judged_further(lit, fields, change, nothing, nothing, pixels, fields[0, 0].clone(), each=True)

    return made(make, trial, _fused(device), "transforms within iterations have")


def _dark(device: torch.device, size: int, dtype: torch.dtype, *, scaled: bool) -> tuple[Tensor, Tensor, Pixels]:
    """Return fields of a frame without light, no light as a number, and the frame's pixels."""
    fields = torch.zeros(1, 1, size, size, dtype=torch.complex64, device=device)
    first, trusted = torch.zeros(1, dtype=torch.int64, device=device), fields[0] == 0
    patterns = torch.zeros(1, size, size, dtype=dtype, device=device)
    scan = Scan(patterns, torch.zeros(1, 2, dtype=torch.float64, device=device), trusted[0], 1.0 if scaled else None)
    return fields, torch.zeros((), device=device), Pixels(scan, first, None, ~trusted, first)
