"""From choices to a simulated acquisition whose true object and probe are known."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt
from numpy import ndarray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.arrays import Mask, Object, Positions, Probe
from ptycho.base.errors import ConfigError
from ptycho.base.printable import counted
from ptycho.optics.probe import probe_diameter
from ptycho.optics.propagate import far_field
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.probes import PROBES, modes
from ptycho.simulation.scans import SCANS

MARGIN = 2  # px of object around the outermost patches
COUNTER_TYPES = (np.uint16, np.uint32, np.uint64)
LARGEST = 2**33  # detector pixels in all, 16 GiB of 2-byte counts
FRAMES_AT_ONCE = 64  # keeps the working memory to tens of MB


@dataclass(frozen=True)
class Simulation:
    """Choices for a simulated scan.

    Attributes
    ----------
    object, probe, scan
        Names in ``OBJECTS``, ``PROBES`` and ``SCANS``.
    N
        Side of a pattern, px; even.
    n_positions
        Number of frames.
    photons
        Mean counts of a frame behind a transparent object: the power of the probe.
    overlap
        Fraction of the probe diameter that neighbouring positions share: step = (1 - overlap) * D, with
        one position on step^2 and D as ``ptycho.optics.probe.probe_diameter`` has it.
    n_modes
        Incoherent modes of the probe, each with 30 % of the counts of the one before.
    background
        Mean counts added to every detector pixel.
    n_dead_pixels
        Detector pixels, at random, that read 0 and that the mask leaves out.

    Raises
    ------
    ConfigError
        A name is unknown or a number is outside its range.
    """

    object: str = "lines"
    probe: str = "aperture"
    scan: str = "random"
    N: int = 64
    n_positions: int = 512
    photons: float = 1e6
    overlap: float = 0.75
    n_modes: int = 1
    background: float = 0.0
    n_dead_pixels: int = 0

    def __post_init__(self) -> None:
        for field, found, known in (
            ("object", self.object, OBJECTS),
            ("probe", self.probe, PROBES),
            ("scan", self.scan, SCANS),
        ):
            if found not in known:
                raise ConfigError(f"{field} {found!r} is unknown; choose one of {', '.join(known)}")
        most = LARGEST // max(1, self.N) ** 2
        for field, value, fits, expected in (
            ("N", self.N, self.N >= 16 and self.N % 2 == 0, "an even number from 16 up"),
            ("n_positions", self.n_positions, 1 <= self.n_positions <= most, f"from 1 to {most} of this size"),
            ("photons", self.photons, 0 < self.photons <= 1e15, "a number above 0 and up to 1e15"),
            ("overlap", self.overlap, 0 <= self.overlap < 1, "a fraction from 0 to below 1"),
            ("n_modes", self.n_modes, 1 <= self.n_modes <= self.N, "from 1 to N"),
            ("background", self.background, 0 <= self.background <= 1e15, "counts per pixel from 0 to 1e15"),
            ("n_dead_pixels", self.n_dead_pixels, 0 <= self.n_dead_pixels < self.N**2, "from 0 to below N * N"),
        ):
            if not fits:
                raise ConfigError(f"{field} is {value}; give {expected}")


def simulate(choices: Simulation, rng: np.random.Generator) -> Acquisition:
    """Return the scan that a photon-counting detector would record, with the truth beside it.

    n_j ~ Poisson(I_j), I_j = sum_m |F[P_m . O_j]|^2 + background, unsigned integers in counts. Object, scan, noise
    and dead pixels draw from streams of their own: with one seed, scans that differ in dose show the same object.
    """
    object_rng, scan_rng, noise_rng, dead_rng = rng.spawn(4)
    unit = modes(PROBES[choices.probe](choices.N, 1.0), choices.n_modes)
    probe = np.sqrt(choices.photons).astype(np.float32) * unit
    step = (1 - choices.overlap) * probe_diameter(unit)
    positions, shape = _placed(SCANS[choices.scan](choices.n_positions, step, scan_rng), choices.N)
    object_ = OBJECTS[choices.object](shape, object_rng)
    mask = np.ones((choices.N, choices.N), dtype=bool)
    mask.flat[dead_rng.choice(mask.size, choices.n_dead_pixels, replace=False)] = False
    frames = [
        _counted(expected_counts(object_, probe, batch) + choices.background, mask, noise_rng)
        for batch in np.split(positions, range(FRAMES_AT_ONCE, len(positions), FRAMES_AT_ONCE))
    ]
    return Acquisition(
        patterns=np.concatenate(frames),
        positions=positions,
        probe=probe,
        mask=mask,
        quantity="counts",
        count_scale=1.0,
        origin=_origin(choices),
        object_=object_,
    )


def _origin(choices: Simulation) -> str:
    """Return in words that a simulation makes counts, and from which choices."""
    return (
        f"simulated counts: {choices.photons:g} photons a frame behind a probe of the kind {choices.probe}, "
        f"{counted(choices.n_modes, 'mode')}; object {choices.object}; scan {choices.scan}, "
        f"{counted(choices.n_positions, 'position')}, overlap {choices.overlap:g}; background {choices.background:g} "
        f"counts a pixel; {counted(choices.n_dead_pixels, 'dead pixel')} of {choices.N} x {choices.N}"
    )


def expected_counts(object_: Object, probe: Probe, positions: Positions) -> Float64[ndarray, "position y x"]:
    """Return the mean pattern at each position, I_j = sum_m |F[P_m . O_j]|^2 in counts, without background.

    The patch O_j is cut at whole pixels, corner = floor(position) - N // 2, and the probe is moved by the remainder
    through its Fourier transform, which is exact.

    Raises
    ------
    ConfigError
        A patch reaches beyond the object.
    """
    N = probe.shape[-1]
    whole = np.floor(positions)
    corners = whole.astype(int) - N // 2
    if (corners < 0).any() or (corners + N > object_.shape).any():
        raise ConfigError(
            f"patches reach from {corners.min(axis=0)} to {(corners + N).max(axis=0)}, beyond the object of "
            f"{object_.shape} px; give a larger object or fewer positions"
        )
    reach = np.arange(N)
    rows = corners[:, 0, None, None] + reach[:, None]
    columns = corners[:, 1, None, None] + reach
    patches = object_[rows, columns].astype(np.complex128)
    fields = far_field(_moved(probe, positions - whole) * patches[:, None])
    intensity: Float64[ndarray, "position y x"] = np.sum(fields.real**2 + fields.imag**2, axis=1)
    return intensity


def _moved(probe: Probe, shifts: Positions) -> ndarray:
    """Return (position, mode, y, x): the probe with its content moved by +shift px, periodic in N."""
    turns = np.fft.fftfreq(probe.shape[-1])
    ramp_y, ramp_x = (np.exp(-2j * np.pi * shifts[:, axis, None] * turns) for axis in (0, 1))
    spectrum = np.fft.fft2(probe.astype(np.complex128))
    return np.fft.ifft2(spectrum * ramp_y[:, None, :, None] * ramp_x[:, None, None, :])


def _placed(scan: Positions, N: int) -> tuple[Positions, tuple[int, int]]:
    """Move a scan so that its patches begin ``MARGIN`` px inside an object, and return that object's shape."""
    positions = scan - scan.min(axis=0) + N // 2 + MARGIN
    height, width = np.floor(positions.max(axis=0)).astype(int) + N - N // 2 + MARGIN
    return positions, (int(height), int(width))


def _counted(
    expected: Float64[ndarray, "position y x"], mask: Mask, rng: np.random.Generator
) -> UInt[ndarray, "position y x"]:
    counts = rng.poisson(expected) * mask
    dtype = next(kind for kind in COUNTER_TYPES if counts.max() <= np.iinfo(kind).max)
    counted: UInt[ndarray, "position y x"] = counts.astype(dtype)
    return counted
