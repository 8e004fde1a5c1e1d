"""From a scan to the object by likelihood iterations alone, without a network."""

from dataclasses import replace

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.bilinear import whole_window
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.watching import NOBODY, Watcher
from ptycho.config.refinement import Refinement
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.prior import edge_preserving
from ptycho_torch.inference.refine import refine
from ptycho_torch.inference.result import Clock, Result, reconstruction_of
from ptycho_torch.inference.search import margin
from ptycho_torch.physics.forward import place_on_canvas


def iterate(
    acquisition: Acquisition,
    *,
    device: torch.device,
    refinement: Refinement,
    start: Reconstruction | None = None,
    held_out_fraction: float = 0.02,
    watcher: Watcher = NOBODY,
) -> Result:
    """Bring an object to the counts of a scan by likelihood iterations.

    Parameters
    ----------
    acquisition
        The scan, with its probe in sqrt(counts).
    refinement
        How many iterations, and what they may change.
    start
        Object and probe to start from; a transparent object and the scan's probe when None.
    held_out_fraction
        Share of the detector pixels that take no part and tell when to stop.
    watcher
        Who is told how it goes.
    """
    clock = Clock(device)
    scan = Scan.of(acquisition, device)
    placement, origin = place_on_canvas(scan.positions, scan.size, margin(refinement))
    at = _start(acquisition if start is None else start, origin, placement.object_shape, device)
    whole = Likelihood(scan, placement, held_out_fraction=0.0)
    if start is None:
        at = Estimate(at.object_ * whole.flux(at) ** 0.5, at.probe)
    light = whole.light(at)
    first = reconstruction_of(at, light, origin, acquisition, {}, placement)
    if refinement.positions is not None:
        at = replace(at, positions=placement.positions)
    clock.lap("start")
    done = refine(
        *(at, scan, placement, refinement),
        prior=edge_preserving(refinement.prior_strength, light, at.object_),
        held_out_fraction=held_out_fraction,
        watcher=watcher,
    )
    clock.lap("refine")
    value = Likelihood(scan, done.placement, held_out_fraction=0.0)(done.at)
    clock.lap("judge")
    return Result(
        first,
        reconstruction_of(done.at, done.coverage, origin, acquisition, done.history, placement),
        value.deviance,
        done.held_out_deviance,
        value.r_factor,
        clock.seconds,
        iterations=len(done.history["deviance"]) - 1 - refinement.approaches,
        stopped_early=done.stopped_early,
        network_weight=0.0,
        network_kept=False,
    )


def _start(
    given: Acquisition | Reconstruction, origin: torch.Tensor, shape: tuple[int, int], device: torch.device
) -> Estimate:
    probe = torch.as_tensor(given.probe, device=device)
    if isinstance(given, Acquisition):
        return Estimate(torch.ones(shape, dtype=torch.complex64, device=device), probe)
    top, left = np.rint(origin.cpu().numpy() - given.origin).astype(int).tolist()
    known = whole_window(given.coverage > 0, top, left, shape)
    object_ = np.where(known, whole_window(given.object_, top, left, shape), np.complex64(1))
    return Estimate(torch.as_tensor(object_, device=device), probe)
