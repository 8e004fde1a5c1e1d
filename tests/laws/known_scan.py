"""A small scan of which everything is known and nothing is symmetric, made with numpy only."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

N, ROWS, COLUMNS, STEP = 32, 5, 7, 3
PHOTONS = 1e5
HEIGHT, WIDTH = 58, 64  # of the object, px


@dataclass(frozen=True, eq=False)
class Known:
    """A scan and its truth.

    Attributes
    ----------
    counts
        (position, y, x) uint16, zero frequency at index N // 2.
    positions
        (position, 2), (y, x) px, whole numbers: the object pixel on patch index N // 2.
    probe, object_
        (mode, y, x) in sqrt(counts), and (height, width).
    bad
        (y, x) bool, a pixel that can't be trusted; it counts nothing.
    energy, distance, detector_pixel, object_pixel
        eV, m, (y, x) m, (y, x) m.
    """

    counts: np.ndarray
    positions: np.ndarray
    probe: np.ndarray
    object_: np.ndarray
    bad: np.ndarray
    energy: float = 8_800.0
    distance: float = 1.9
    detector_pixel: tuple[float, float] = (75e-6, 75e-6)

    @property
    def object_pixel(self) -> tuple[float, float]:
        """Wavelength times distance over the width of the detector, (y, x), m."""
        wavelength = 12_398.419843320026e-10 / self.energy
        height, width = (wavelength * self.distance / (N * pixel) for pixel in self.detector_pixel)
        return height, width

    @property
    def positions_m(self) -> np.ndarray:
        """Positions in metres, about an origin of their own."""
        return (self.positions - self.positions.mean(axis=0)) * self.object_pixel + [3e-7, -2e-7]


def expected_counts(probe: np.ndarray, object_: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the mean counts of every frame at whole positions, by the definition."""
    patches = np.array([object_[y - N // 2 : y + N // 2, x - N // 2 : x + N // 2] for y, x in positions.astype(int)])
    waves = np.fft.fftshift(np.fft.fft2(probe * patches[:, None], norm="ortho"), axes=(-2, -1))
    return np.sum(np.abs(waves) ** 2, axis=1)


@cache
def known_scan() -> Known:
    """Return the scan."""
    rng = np.random.default_rng(2)
    rough = rng.normal(size=(2, HEIGHT, WIDTH))
    smooth = [2.5 * gaussian_filter(each, 1.5) / gaussian_filter(each, 1.5).std() for each in rough]
    object_ = (1 - 0.08 * np.abs(smooth[0])) * np.exp(0.2j * smooth[1])
    y, x = np.mgrid[:N, :N] - N // 2
    disk = np.exp(-(((y + 1) / 5.0) ** 2) - ((x - 2) / 7.0) ** 2) * (1 + 0.5 * (x > y))
    first = disk * np.exp(1j * (0.03 * y**2 + 0.015 * x**2 + 0.001 * x**3 + 0.01 * x * y))
    probe = np.stack([first, 0.3 * first * (x + 0.4 * y) / 5])
    probe *= np.sqrt(PHOTONS / np.sum(np.abs(probe) ** 2))
    rows, columns = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    positions = np.stack([18 + STEP * rows, 17 + STEP * columns], axis=1) + rng.integers(0, 3, (ROWS * COLUMNS, 2))
    bad = np.zeros((N, N), bool)
    bad[9, 20] = bad[16, 14] = bad[3, 28] = True
    counts = rng.poisson(expected_counts(probe, object_, positions)).astype(np.uint16)
    counts[:, bad] = 0
    return Known(counts, positions.astype(float), probe, object_, bad)
