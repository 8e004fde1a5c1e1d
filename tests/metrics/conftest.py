from collections.abc import Callable

import numpy as np
import pytest

Field = Callable[[int, int, int], np.ndarray]


@pytest.fixture(scope="session")
def smooth_object() -> Field:
    """A random transmission on side x side px without anything above a fifth of a cycle per px."""

    def make(seed: int, side: int, shape_seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng((seed, shape_seed))
        turns = np.fft.fftfreq(side)
        low = np.hypot(turns[:, None], turns) < 0.2
        pattern = np.fft.ifft2(np.fft.fft2(rng.normal(size=(2, side, side))) * low).real
        amplitude, phase = pattern / pattern.std(axis=(1, 2), keepdims=True)
        return (0.8 + 0.08 * amplitude) * np.exp(0.3j * phase)

    return make
