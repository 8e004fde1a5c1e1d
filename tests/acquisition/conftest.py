"""A small scan that every check is content with."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SIZE = 32


def probe_disk():
    axis = np.arange(SIZE) - SIZE // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    return (30 * np.exp(0.02j * radius**2) * (radius < 8)).astype(np.complex64)


def scan_positions(n):
    return 20.0 + 3 * np.stack(np.divmod(np.arange(n), 5), axis=1) + 0.25


def scan_counts(n, seed=0):
    wave = np.fft.fftshift(np.fft.fft2(probe_disk(), norm="ortho"))
    return np.random.default_rng(seed).poisson(np.broadcast_to(np.abs(wave) ** 2, (n, SIZE, SIZE))).astype(np.uint16)


@pytest.fixture
def arrays() -> Callable[..., dict[str, Any]]:
    """Return the keys of a good npz file, some of them replaced, or left out when None."""

    def make(n=25, **replaced):
        y, x = scan_positions(n).T
        keys = {"diff3d": scan_counts(n), "xcoords": x, "ycoords": y, "probeGuess": probe_disk()} | replaced
        return {key: value for key, value in keys.items() if value is not None}

    return make
