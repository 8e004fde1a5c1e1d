"""Simulated scans of the older interface: patches where the positions say, counts that Poisson drew."""

import numpy as np
import pytest

from ptycho.base.errors import DataError
from ptycho.interop.simulation import simulate_scan
from ptycho.optics.probe import probe_modes
from ptycho.raw_data import RawData
from ptycho.simulation.probes import PROBES
from ptycho.simulation.simulate import expected_counts

N, n = 32, 12


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    x, y = rng.integers(20, 60, (2, n)).astype(float)
    object_ = rng.uniform(0.5, 1, (80, 90)) * np.exp(1j * rng.normal(0, 0.3, (80, 90)))
    return {"xcoords": x, "ycoords": y, "probeGuess": PROBES["aperture"](N, 1.0), "objectGuess": object_}


def simulate(parts, nphotons=1e6, seed=1, **more):
    return simulate_scan(RawData, **(parts | more), nphotons=nphotons, rng=np.random.default_rng(seed))


def test_patches_lie_at_half_their_side(parts):
    raw = simulate(parts)
    for patch, x, y in zip(raw.Y, parts["xcoords"].astype(int), parts["ycoords"].astype(int), strict=True):
        expected = parts["objectGuess"][y - N // 2 : y + N // 2, x - N // 2 : x + N // 2]
        np.testing.assert_allclose(patch, expected, rtol=1e-6)


@pytest.mark.parametrize("n_modes", [1, 3])
def test_the_numbers_are_counts_over_a_scale(parts, n_modes):
    probe = parts["probeGuess"] * np.arange(1, n_modes + 1)[:, None, None]
    raw = simulate(parts, nphotons=1e6, probeGuess=probe)
    assert raw.diff3d.dtype == np.float32
    counts = np.square(raw.norm_Y_I * raw.diff3d.astype(float))
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-2)
    assert counts.sum(axis=(1, 2)).mean() == pytest.approx(1e6, rel=1e-3)
    # At whole pixels the exact forward model of the simulation room is the same.
    positions = np.stack([parts["ycoords"], parts["xcoords"]], axis=1)
    object_, modes = parts["objectGuess"].astype(np.complex64), probe_modes(probe)
    mean = raw.norm_Y_I**2 * expected_counts(object_, modes, positions)
    sigma = (counts - mean)[mean > 5] / np.sqrt(mean[mean > 5])
    assert sigma.mean() == pytest.approx(0, abs=5 / np.sqrt(sigma.size))
    assert sigma.std() == pytest.approx(1, abs=5 / np.sqrt(2 * sigma.size))


def test_the_scan_is_read_as_what_it_is(parts):
    scan = simulate(parts, nphotons=3e5).acquisition()
    assert scan.quantity == "amplitude"
    assert scan.counts_per_frame().mean() == pytest.approx(3e5, rel=2e-3)
    through = np.square(np.abs(scan.probe)).sum() * np.mean(np.abs(parts["objectGuess"]) ** 2)
    assert through == pytest.approx(3e5, rel=0.05), "the probe is calibrated to the counts"


def test_the_seed_decides_the_noise(parts):
    one, same, other = (simulate(parts, seed=seed).diff3d for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"xcoords": np.full(n, 1e4)}, "no light"),
        ({"xcoords": np.zeros(0), "ycoords": np.zeros(0)}, "no positions"),
        ({"xcoords": np.zeros(3)}, "xcoords of shape"),
        ({"objectGuess": np.ones((2, 80, 80), complex)}, "one layer"),
    ],
)
def test_what_cannot_be_simulated_is_refused(parts, changed, words):
    with pytest.raises(DataError, match=words):
        simulate(parts, **changed)
