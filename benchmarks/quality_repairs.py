"""Scans whose file is wrong about the positions or the probe, and what the iterations put right."""

from dataclasses import replace

import numpy as np
import torch
from quality_judge import Judge

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.arrays import Positions, Probe
from ptycho.config.refinement import Refinement, Span
from ptycho.simulation.probes import PUPIL_RADIUS
from ptycho_torch.inference.iterate import iterate

MISPLACED = 3.0  # px rms, over both axes together
OUT_OF_FOCUS = 0.3  # of the zone plate's defocus, added to it
HELD, REFINED = "held", "refined"


def measure_repairs(judge: Judge, iterations: int, rng: np.random.Generator) -> None:
    """Add rows of iterations from a flat object, with wrong positions and with a wrong probe, held and refined."""
    scan = judge.scan
    judge.measure_limits()
    misplaced = replace(scan, positions=scan.positions + rng.normal(0, MISPLACED / np.sqrt(2), scan.positions.shape))
    defocused = replace(scan, probe=out_of_focus(scan.probe, OUT_OF_FOCUS))
    for what, wrong, refinement in (
        ("positions", misplaced, Refinement(iterations, positions=Span())),
        ("probe", defocused, Refinement(iterations, probe=Span())),
    ):
        for how, asked in ((HELD, Refinement(iterations)), (REFINED, refinement)):
            found = judge.measure(f"{what} {how}", lambda w=wrong, a=asked: solved(w, a, judge.device))
            positions = wrong.positions if found.corrected_positions is None else found.corrected_positions
            errors = {
                "position_error": distance(positions, scan.positions),
                "probe_error": probe_error(found.probe, scan.probe),
            }
            judge.rows[-1].scores.update(errors)


def solved(scan: Acquisition, refinement: Refinement, device: torch.device) -> Reconstruction:
    """Return what the iterations make of a flat object."""
    return iterate(scan, device=device, refinement=refinement).final


def out_of_focus(probe: Probe, fraction: float) -> Probe:
    """Return the probe of a zone plate with a fraction of its defocus added to it, f (q / q_max)^2 rad in all."""
    size = probe.shape[-1]
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    phase = fraction * np.pi * PUPIL_RADIUS * size / 4 * np.square(frequency / PUPIL_RADIUS)
    moved: Probe = np.fft.ifft2(np.fft.fft2(probe) * np.exp(1j * phase)).astype(np.complex64)
    return moved


def distance(positions: Positions, truth: Positions) -> float:
    """Return the rms distance in px, over both axes together, less a common shift, which nothing can know."""
    difference = positions - truth
    return float(np.sqrt(np.mean(np.sum(np.square(difference - difference.mean(axis=0)), axis=1))))


def probe_error(probe: Probe, truth: Probe) -> float:
    """Return ||c P - P_true|| / ||P_true|| with the best complex factor c, which object and probe share."""
    inside = np.vdot(probe, truth) / np.vdot(probe, probe)
    return float(np.linalg.norm(inside * probe - truth) / np.linalg.norm(truth))
