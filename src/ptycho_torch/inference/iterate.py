"""From a scan to the object by likelihood iterations alone, without a network."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.bilinear import whole_window
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.errors import DataError
from ptycho.base.watching import NOBODY, Watcher
from ptycho.config.refinement import Refinement
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.prior import edge_preserving
from ptycho_torch.inference.refine import refine
from ptycho_torch.inference.result import Clock, Result, reconstruction_of
from ptycho_torch.inference.search import margin
from ptycho_torch.physics.forward import Placement, place_on_canvas


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
        Result to start from, with all that was refined in it; a transparent object and the scan's probe when None.
    held_out_fraction
        Share of the detector pixels that take no part and tell when to stop.
    watcher
        Who is told how it goes.

    Raises
    ------
    DataError
        ``start`` says something of every frame, and its frames are not those of the scan.
    """
    clock = Clock(device)
    scan = Scan.of(acquisition, device)
    said, origin = place_on_canvas(scan.positions, scan.size, margin(refinement) + _reach(start))
    at = _transparent(acquisition, said) if start is None else _carried(start, acquisition, said, origin)
    placement = said if at.positions is None else said.moved_to(at.positions)
    whole = Likelihood(scan, placement, held_out_fraction=0.0)
    if start is None:
        at = replace(at, object_=at.object_ * whole.flux(at) ** 0.5)
    light = whole.light(at)
    first = reconstruction_of(at, light, origin, acquisition, {}, said)
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
    clock.lap("compare")
    return Result(
        first,
        reconstruction_of(done.at, done.coverage, origin, acquisition, done.history, said),
        value.deviance,
        done.held_out_deviance,
        value.r_factor,
        clock.seconds,
        iterations=len(done.history["deviance"]) - 1 - refinement.approaches,
        stopped_early=done.stopped_early,
        network_weight=0.0,
        network_kept=False,
    )


def _transparent(acquisition: Acquisition, placement: Placement) -> Estimate:
    probe = torch.as_tensor(acquisition.probe, device=placement.corners.device)
    return Estimate(torch.ones(placement.object_shape, dtype=torch.complex64, device=probe.device), probe)


def _reach(start: Reconstruction | None) -> int:
    """Return how far, px, patches may lie from where the scan says."""
    if start is None or start.corrections is None:
        return 0
    return int(np.ceil(np.abs(start.corrections).max())) + 1


def _carried(start: Reconstruction, acquisition: Acquisition, placement: Placement, origin: Tensor) -> Estimate:
    """Return what a result says of a scan, moved by whole pixels to the canvas of a placement."""
    of_frames = {"positions": start.corrections, "flux": start.flux, "weights": start.variation_weights}
    told = [name for name, part in of_frames.items() if part is not None]
    if told and not np.array_equal(start.positions, acquisition.positions):
        raise DataError(
            f"the start has {' and '.join(told)} of {len(start.positions)} frames, which are not the "
            f"{acquisition.n_positions} of this scan; expected a result of the same frames; give that, or one in which "
            "object and probe alone were refined"
        )
    away = origin.cpu().numpy() - start.origin
    top, left = np.rint(away).astype(int).tolist()
    known = whole_window(start.coverage > 0, top, left, placement.object_shape)
    object_ = np.where(known, whole_window(start.object_, top, left, placement.object_shape), np.complex64(1))

    parts = {
        "object_": object_,
        "probe": start.probe,
        "gain": None if start.flux is None else np.sqrt(start.flux),
        "haze": None if start.background is None else np.array(start.background**0.5, np.float32),
        "variations": start.variations,
        "weights": start.variation_weights,
    }
    if start.corrections is not None:
        parts["positions"] = placement.positions.cpu().numpy() + start.corrections + away - np.rint(away)
    tensors = {name: torch.as_tensor(part, device=origin.device) for name, part in parts.items() if part is not None}
    return Estimate(**tensors)
