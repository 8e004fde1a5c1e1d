"""From a trained network and a scan to the object."""

import logging
import math
from pathlib import Path

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.errors import DataError
from ptycho.base.watching import NOBODY, Watcher
from ptycho.config.execution import Deterministic, Precision
from ptycho.config.refinement import Refinement
from ptycho_torch.base.repeating import repeatable
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.arithmetic import autocast
from ptycho_torch.inference.fields import ONE_PIECE, finish, in_fields
from ptycho_torch.inference.refine import refine
from ptycho_torch.inference.result import Clock, Result, iterations_of, reconstruction_of
from ptycho_torch.inference.search import margin
from ptycho_torch.inference.solve import Solver
from ptycho_torch.inference.truth import true_estimate
from ptycho_torch.physics.forward import place_on_canvas
from ptycho_torch.pinn.build import Constants
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.pinn.unrolled import UnrolledPINN
from ptycho_torch.processes.world import ALONE, World

logger = logging.getLogger(__name__)

# A scan whose frames are brighter or darker than the training scan's by more than this factor was exposed otherwise.
SAME_EXPOSURE = 1.5
# Below this correlation the file's probe and the bundle's are not the same probe.
SAME_PROBE = 0.9
NO_REFINEMENT = Refinement()
# Frames for every process, at least: half of them make a half of the scan, and that is dealt out too.
LEAST_SHARE = 4


def reconstruct(
    pinn: PtychoPINN,
    acquisition: Acquisition,
    *,
    device: torch.device,
    batch_size: int = 64,
    refinement: Refinement = NO_REFINEMENT,
    n_neighbours: int = 4,
    check: bool = False,
    precision: Precision = "32-true",
    deterministic: Deterministic = False,
    watcher: Watcher = NOBODY,
    world: World = ALONE,
    scratch: Path | None = None,
) -> Result:
    """Stitch what the network predicts for every pattern of a scan, then let likelihood iterations finish it.

    The constants of the training are used as they are, unless the scan was exposed otherwise (its mean counts differ
    by more than a factor of 1.5): then amplitudes are divided by the square root of the ratio, and the probe is
    multiplied by it, which leaves the object as it is. An unrolled network works with the probe and the counts of this
    scan instead.

    Parameters
    ----------
    pinn
        The trained network with its probe.
    acquisition
        The scan.
    batch_size
        Groups of patterns in one pass of the network.
    refinement
        Likelihood iterations after stitching, and what they may change; none when left out.
    n_neighbours
        Nearest positions that a group is drawn from, for a network that sees groups; at least its other members.
    check
        Whether the result shall say of itself how far it can be trusted; about as much work as the iterations again.
    precision
        Arithmetic of the network; all physics is in 32 bits.
    deterministic
        Whether the same call on the same machine gives the same bits: sums are taken in a fixed order, which costs time
        on a GPU; with "warn" an operation that can't do so is named in a warning.
    watcher
        Who is told how it goes.
    world
        The processes that share the work, each with the whole scan on a device of its own; all return the same.
    scratch
        Folder for a canvas of more than `ONE_PIECE` pixels, which is solved in fields (`in_fields`); it lies there in
        files that go with it. None to have it in memory.

    Raises
    ------
    DataError
        The scan has another pattern size than the network, or too few frames for so many processes.
    ConfigError
        The scan has fewer positions than a group, there is no such precision, or its canvas is solved in fields, which
        a choice does not allow.
    """
    check_size(pinn, acquisition)
    check_shares(acquisition, world)
    autocast(device, precision)
    with repeatable(deterministic):
        clock = Clock(device)
        if isinstance(pinn, UnrolledPINN):
            pinn = behind_probe_of(pinn, acquisition)
        pinn = pinn.to(device).eval()
        scan = Scan.of(acquisition, device)
        flux = exposure(pinn, acquisition)
        _compare_probes(pinn, acquisition)
        placement, origin = place_on_canvas(scan.positions, scan.size, margin(refinement))
        solver = Solver(
            pinn, scan, placement, flux, batch_size, n_neighbours, refinement, watcher, precision=precision, world=world
        )
        if math.prod(placement.object_shape) > ONE_PIECE:
            return in_fields(solver, acquisition, origin, clock, check=check, folder=scratch)
        done = finish(solver, clock, check=check)
        solved, value = done.solved, done.value
        return Result(
            reconstruction_of(solved.start, solved.start_light, origin, acquisition, {}, placement),
            reconstruction_of(solved.end, solved.light, origin, acquisition, solved.history, placement),
            value.deviance,
            solved.held_out_deviance,
            value.r_factor,
            clock.seconds,
            iterations=iterations_of(solved.history, refinement),
            stopped_early=solved.stopped_early,
            network_weight=solved.network_weight,
            network_kept=solved.network_kept,
            check=done.check,
        )


def behind_probe_of(pinn: UnrolledPINN, acquisition: Acquisition) -> UnrolledPINN:
    """Return an unrolled network behind the probe of a scan, which carries the mean counts of that scan.

    Those that the detector's untrusted pixels would have counted are among them.
    """
    constants = Constants.of(acquisition, whole_detector=True)
    return pinn.behind(constants.probe, constants.input_scale)


def check_size(pinn: PtychoPINN, acquisition: Acquisition) -> None:
    """Refuse a scan whose patterns are not as large as the network's.

    Raises
    ------
    DataError
        With both sizes.
    """
    size = int(pinn.probe.shape[-1])
    if acquisition.size != size:
        raise DataError(
            f"patterns are {acquisition.size} x {acquisition.size} px but the network was trained on {size} x {size}; "
            f"give a scan of {size} px patterns or train on this one"
        )


def check_shares(acquisition: Acquisition, world: World) -> None:
    """Refuse a scan with too few frames for each process to have some of every half.

    Raises
    ------
    DataError
        With both numbers.
    """
    if world.size > 1 and acquisition.n_positions < LEAST_SHARE * world.size:
        raise DataError(
            f"found {acquisition.n_positions} frames for {world.size} processes; expected at least {LEAST_SHARE} for "
            "each; give fewer devices"
        )


def exposure(pinn: PtychoPINN, acquisition: Acquisition) -> float:
    """Return the counts of a scan over those of the training scan; 1 where they differ by less than a factor of 1.5."""
    size = acquisition.size
    trained = (size / 2 / float(pinn.input_scale)) ** 2
    measured = float(acquisition.counts_per_frame().mean(dtype=np.float64))
    ratio = measured / trained
    if 1 / SAME_EXPOSURE < ratio < SAME_EXPOSURE:
        return 1.0
    logger.info("frames have %.3g times the counts of the training scan's: the probe is scaled to match", ratio)
    return ratio


def _compare_probes(pinn: PtychoPINN, acquisition: Acquisition) -> None:
    ours = pinn.probe.detach().cpu()[0].flatten()
    theirs = torch.as_tensor(acquisition.probe)[0].flatten()
    alike = float(torch.abs(torch.vdot(ours, theirs)) / (ours.norm() * theirs.norm()).clamp_min(1e-30))
    if alike < SAME_PROBE:
        logger.warning(
            "the scan's probe correlates with the trained one by only %.2f: the network knows the trained one; "
            "use --refine with --refine_probe, or train on this scan",
            alike,
        )


def maximum_likelihood(
    acquisition: Acquisition, *, device: torch.device, iterations: int = 200, watcher: Watcher = NOBODY
) -> Reconstruction:
    """Return the converged likelihood solution that starts from the truth, with the true probe: what photons allow.

    Parameters
    ----------
    acquisition
        A simulated scan: its object is the truth and its probe the true one, in sqrt(counts).
    watcher
        Who is told how it goes.

    Raises
    ------
    DataError
        The scan carries no truth.
    """
    scan, placement, origin, truth = true_estimate(acquisition, device)
    refined = refine(truth, scan, placement, Refinement(iterations), held_out_fraction=0.0, watcher=watcher)
    return reconstruction_of(refined.at, refined.coverage, origin, acquisition, refined.history, placement)
