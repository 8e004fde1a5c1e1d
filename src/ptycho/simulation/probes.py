"""Probes to simulate: complex illumination in sqrt(counts), one or several modes."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex, Complex64, Float64
from numpy import ndarray

from ptycho.base.arrays import Probe
from ptycho.base.errors import ConfigError
from ptycho.optics.probe import probe_diameter

ProbeMaker = Callable[[int, float], Probe]

APERTURE_PHASE = 2.0  # rad, quadratic phase at the rim of the aperture
PUPIL_RADIUS = 0.15  # cycles/px, outer radius of the zone plate
CENTRAL_STOP = 0.4  # of the pupil's radius


def aperture(N: int, photons: float, rim: float = 0.25, phase: float = APERTURE_PHASE) -> Probe:
    """Defocused circular aperture: a disk of radius ``rim`` N px with a soft edge, and ``phase`` (r / rim N)^2 rad."""
    radius = _radius(N)
    disk = 0.5 * (1 - np.tanh(radius - rim * N))
    return normalised(disk * np.exp(1j * phase * np.square(radius / (rim * N))), photons)


def zone_plate(N: int, photons: float) -> Probe:
    """Fresnel zone plate out of focus: an annular pupil propagated until the cone is N / 2 px wide.

    P = F^-1[A(q) exp(i f (q / q_max)^2)], Fresnel propagation with f rad of defocus at the rim q_max of the pupil A.
    A ray of frequency q lands at f q / (pi q_max^2) px, so f = pi q_max N / 4 opens the cone to N / 2 px.
    """
    frequency = _radius(N) / N
    soft = 1.0 / N  # one pixel of the pupil plane
    rim = 0.5 * (1 - np.tanh((frequency - PUPIL_RADIUS) / soft))
    stop = 0.5 * (1 + np.tanh((frequency - CENTRAL_STOP * PUPIL_RADIUS) / soft))
    defocus = np.pi * PUPIL_RADIUS * N / 4
    pupil = rim * stop * np.exp(1j * defocus * np.square(frequency / PUPIL_RADIUS))
    return normalised(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(pupil))), photons)


def gaussian(N: int, photons: float) -> Probe:
    """Gaussian beam with a flat phase and a 4-sigma diameter of N / 2 px (sigma of the intensity: N / 8 px)."""
    return normalised(np.exp(-np.square(_radius(N) / (N / 4))), photons)


def modes(probe: Complex64[ndarray, "1 y x"], n_modes: int, power: float = 0.3) -> Probe:
    """Return orthogonal modes of decreasing power, for a partially coherent beam, with the probe's total counts.

    The modes are the probe times 1, y, x, y^2, y x, x^2 ... made orthogonal in this order (Gram-Schmidt), as
    Hermite-Gauss modes are for a Gaussian beam.

    Parameters
    ----------
    probe
        (1, y, x), sqrt(counts).
    n_modes
        How many.
    power
        Counts of a mode over those of the mode before it, in (0, 1].

    Raises
    ------
    ConfigError
        ``n_modes`` or ``power`` is outside its range.
    """
    if n_modes < 1 or not 0 < power <= 1:
        raise ConfigError(
            f"found n_modes {n_modes} and power {power}; give at least one mode and a power above 0 and up to 1"
        )
    N = probe.shape[-1]
    main = probe[0].astype(np.complex128)
    y, x = offsets(N) / probe_diameter(probe)
    orders = [(total - b, b) for total in range(n_modes) for b in range(total + 1)][:n_modes]
    columns = np.stack([(main * y**a * x**b).ravel() for a, b in orders], axis=1)
    basis, triangle = np.linalg.qr(columns)
    basis *= np.exp(1j * np.angle(np.diag(triangle)))  # QR is free to turn each column; keep the phase of the probe
    shares = power ** np.arange(n_modes)
    counts = np.sum(np.abs(main) ** 2) * shares / shares.sum()
    made: Probe = (basis * np.sqrt(counts)).T.reshape(n_modes, N, N).astype(np.complex64)
    return made


def offsets(N: int) -> Float64[ndarray, "2 y x"]:
    """Return y and x of every pixel from the middle of a patch, px."""
    found: Float64[ndarray, "2 y x"] = np.indices((N, N), dtype=np.float64) - N // 2
    return found


def _radius(N: int) -> Float64[ndarray, "y x"]:
    y, x = offsets(N)
    radius: Float64[ndarray, "y x"] = np.hypot(y, x)
    return radius


def normalised(field: Complex[ndarray, "y x"] | Float64[ndarray, "y x"], photons: float) -> Probe:
    """Return a field as a probe of one mode that carries so many photons."""
    scaled: Probe = (field * np.sqrt(photons / np.sum(np.abs(field) ** 2))).astype(np.complex64)[None]
    return scaled


PROBES: dict[str, ProbeMaker] = {"aperture": aperture, "zone_plate": zone_plate, "gaussian": gaussian}
