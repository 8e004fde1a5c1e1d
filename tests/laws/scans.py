"""Small simulated scans with known truth, for every room of the engine."""

import dataclasses

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import Placement, place_on_canvas

SMALL = Simulation(N=32, n_positions=40, photons=1e5)


def small_scan(seed: int = 0, **choices: object) -> Acquisition:
    """Return a simulated scan of 40 frames of 32 x 32 px, or as the choices say."""
    return simulate(dataclasses.replace(SMALL, **choices), np.random.default_rng(seed))


def on_device(acquisition: Acquisition) -> tuple[Scan, Placement, torch.Tensor]:
    """Return a scan, its placement and the origin of its canvas."""
    scan = Scan.of(acquisition)
    return scan, *place_on_canvas(scan.positions, scan.size)


def truth_on_canvas(acquisition: Acquisition) -> torch.Tensor:
    """Return the true object on the pixels of the canvas of the whole scan."""
    _, placement, origin = on_device(acquisition)
    (top, left), (height, width) = origin.tolist(), placement.object_shape
    return torch.from_numpy(acquisition.object_[top : top + height, left : left + width].copy())


def defocused(probe: torch.Tensor, phase: float) -> torch.Tensor:
    """Return a probe with a phase (rad) times the square of its spatial frequency (cycles a pixel) added."""
    turns = torch.fft.fftfreq(probe.shape[-1])
    return torch.fft.ifft2(torch.fft.fft2(probe) * torch.exp(1j * phase * (turns[:, None] ** 2 + turns**2)))


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return how alike two images are, whatever factor they differ by: 1 for the same."""
    return float(torch.vdot(one.flatten(), other.flatten()).abs() / (one.norm() * other.norm()))
