import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from ptycho.simulation.scans import JITTER, SCANS


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(SCANS)), n=st.integers(1, 300), step=st.floats(0.5, 20), seed=st.integers(0, 99))
def test_a_scan_is_n_positions_in_proportion_to_its_step(name, n, step, seed):
    positions = SCANS[name](n, step, np.random.default_rng(seed))
    assert positions.shape == (n, 2)
    assert positions.dtype == np.float64
    unit = SCANS[name](n, 1.0, np.random.default_rng(seed))
    np.testing.assert_allclose(positions, step * unit, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SCANS)
def test_one_position_per_square_step(name):
    positions = SCANS[name](900, 3.0, np.random.default_rng(4))
    middle = np.median(positions, axis=0)
    distance = np.linalg.norm(positions - middle, axis=1)
    density = np.count_nonzero(distance < 35) / (np.pi * 35**2)
    assert density == pytest.approx(1 / 9, rel=0.15)


def test_raster_neighbours_stay_within_the_jitter():
    positions = SCANS["raster"](400, 10.0, np.random.default_rng(0))
    nearest = cKDTree(positions).query(positions, 2)[0][:, 1]
    assert nearest.min() >= 10 * (1 - 2 * JITTER)
    assert nearest.max() <= 10 * np.hypot(1 + 2 * JITTER, 2 * JITTER)
    assert np.ptp(nearest) > 1, "a grid without jitter would leave a periodic error"


def test_the_spiral_is_the_most_even_scan():
    spread = {
        name: np.std(cKDTree(positions).query(positions, 2)[0][:, 1])
        for name, positions in ((name, SCANS[name](400, 10.0, np.random.default_rng(1))) for name in SCANS)
    }
    assert spread["spiral"] < spread["raster"] < spread["random"]
