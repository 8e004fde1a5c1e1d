"""What differs from one experiment to the next, drawn at random: probes, scan patterns, objects and their contrast."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float32, Float64
from numpy import ndarray

from ptycho.base.arrays import Positions, Probe
from ptycho.optics.probe import probe_diameter
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.probes import modes, normalised, offsets
from ptycho.simulation.scans import SCANS

# Ranges of the draws. Lengths in units of N, frequencies in cycles/px, phases in rad at the rim of aperture or pupil.
APERTURE_RADIUS = (0.12, 0.32)
PUPIL_RADIUS = (0.08, 0.25)
CENTRAL_STOP = (0.2, 0.5)
CONE = (0.25, 0.6)  # diameter of the defocused cone of a zone plate
CURVATURE = 6.0
ASTIGMATISM = 1.5
COMA = 1.0
OFF_CENTRE = 0.03
MODE_POWER = (0.05, 0.5)
ABSORPTION = 1.5  # -log of the smallest amplitude
PHASE_RANGE = 2.0  # rad


@dataclass(frozen=True)
class Contrast:
    """How two pictures u, v in [0, 1] become an object: O = exp(-absorption (1 - u) + i phase v)."""

    absorption: float
    phase: float


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """Draw a contrast, weak ones as often as strong ones: absorption to 1.5, phase to 2 rad of either sign."""
    absorption, phase = rng.uniform(0, 1, 2) ** 2 * (ABSORPTION, PHASE_RANGE)
    return Contrast(float(absorption), float(phase * rng.choice((-1, 1))))


def draw_pictures(shape: tuple[int, int], kinds: Sequence[str], rng: np.random.Generator) -> Float32[ndarray, "2 y x"]:
    """Draw an object of one of the ``kinds`` (names in ``OBJECTS``): its amplitude and phase, each from 0 to 1."""
    object_ = OBJECTS[kinds[int(rng.integers(len(kinds)))]](shape, rng)
    pictures = np.stack([np.abs(object_), np.angle(object_)])
    low, high = pictures.min(axis=(1, 2), keepdims=True), pictures.max(axis=(1, 2), keepdims=True)
    scaled: Float32[ndarray, "2 y x"] = ((pictures - low) / (high - low)).astype(np.float32)
    return scaled


def draw_probe(N: int, n_modes: int, rng: np.random.Generator) -> Probe:
    """Draw a probe (mode, y, x) of unit power: an aperture, a zone plate with or without a stop, or a Gaussian beam.

    Radius, curvature (defocus), astigmatism, coma and centre are random, and the power that each mode has of the one
    before.
    """
    field = _KINDS[rng.integers(len(_KINDS))](N, rng)
    power = float(rng.uniform(*MODE_POWER))
    return modes(normalised(field, 1.0), n_modes, power) if n_modes > 1 else normalised(field, 1.0)


def draw_positions(
    n_positions: int, overlap: tuple[float, float], probe: Probe, extent: float, rng: np.random.Generator
) -> Positions:
    """Draw a scan of neighbouring positions (position, 2), (y, x) px, from 0 up to ``extent`` px at most.

    Any of the ``SCANS``, with the step that a random ``overlap`` (least, largest) of the probe's diameter asks for.
    """
    step = (1 - rng.uniform(*overlap)) * probe_diameter(probe)
    kinds = sorted(SCANS)
    scan = SCANS[kinds[int(rng.integers(len(kinds)))]](n_positions, step, rng)
    scan = scan - scan.min(axis=0)
    fitted: Positions = scan * min(1.0, extent / max(scan.max(), 1e-9))
    return fitted


def _plane(N: int, rng: np.random.Generator) -> tuple[Float64[ndarray, "y x"], Float64[ndarray, "y x"]]:
    """Return radius, px, and angle about a random centre near the middle."""
    y, x = offsets(N) + rng.uniform(-OFF_CENTRE, OFF_CENTRE, (2, 1, 1)) * N
    return np.hypot(y, x), np.arctan2(y, x)


def _aberration(
    rho: Float64[ndarray, "y x"], angle: Float64[ndarray, "y x"], rng: np.random.Generator
) -> Float64[ndarray, "y x"]:
    """Return astigmatism and coma of random size and direction, rad; ``rho`` is 1 at the rim."""
    strength = rng.uniform(0, 1, 2) ** 2 * (ASTIGMATISM, COMA)
    turn = rng.uniform(0, 2 * np.pi, 2)
    rho = np.minimum(rho, 1.5)
    astigmatism = strength[0] * rho**2 * np.cos(2 * angle - turn[0])
    coma = strength[1] * (3 * rho**3 - 2 * rho) * np.cos(angle - turn[1])
    found: Float64[ndarray, "y x"] = astigmatism + coma
    return found


def _aperture(N: int, rng: np.random.Generator) -> Complex[ndarray, "y x"]:
    radius, angle = _plane(N, rng)
    rim = rng.uniform(*APERTURE_RADIUS) * N
    disk = 0.5 * (1 - np.tanh((radius - rim) / rng.uniform(0.5, 2.0)))
    rho = radius / rim
    phase = rng.uniform(-CURVATURE, CURVATURE) * rho**2 + _aberration(rho, angle, rng)
    field: Complex[ndarray, "y x"] = disk * np.exp(1j * phase)
    return field


def _gaussian(N: int, rng: np.random.Generator) -> Complex[ndarray, "y x"]:
    radius, angle = _plane(N, rng)
    rho = radius / (rng.uniform(*APERTURE_RADIUS) * N)
    phase = rng.uniform(-CURVATURE, CURVATURE) * rho**2 + _aberration(rho, angle, rng)
    field: Complex[ndarray, "y x"] = np.exp(-np.square(rho) + 1j * phase)
    return field


def _zone_plate(N: int, rng: np.random.Generator) -> Complex[ndarray, "y x"]:
    y, x = offsets(N) / N
    frequency, angle = np.hypot(y, x), np.arctan2(y, x)
    rim, soft = rng.uniform(*PUPIL_RADIUS), 1.0 / N
    pupil = 0.5 * (1 - np.tanh((frequency - rim) / soft))
    if rng.integers(2):
        pupil = pupil * 0.5 * (1 + np.tanh((frequency - rng.uniform(*CENTRAL_STOP) * rim) / soft))
    # A ray of frequency q lands at f q / (pi rim^2) px: this f, rad at the rim, opens the cone to its diameter.
    defocus = np.pi * rim * rng.uniform(*CONE) * N / 2 * rng.choice((-1, 1))
    rho = frequency / rim
    shift = rng.uniform(-OFF_CENTRE, OFF_CENTRE, 2) * N
    tilt = -2 * np.pi * (shift[0] * y + shift[1] * x)
    wave: Complex[ndarray, "y x"] = pupil * np.exp(1j * (defocus * rho**2 + _aberration(rho, angle, rng) + tilt))
    found: Complex[ndarray, "y x"] = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(wave)))
    return found


_KINDS = (_aperture, _gaussian, _zone_plate)
