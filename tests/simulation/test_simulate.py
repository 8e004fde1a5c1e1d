import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.acquisition.statistics import statistics
from ptycho.base.errors import ConfigError
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.probes import PROBES, modes
from ptycho.simulation.scans import SCANS
from ptycho.simulation.simulate import Simulation, expected_counts, simulate

few = settings(max_examples=25, deadline=None)
SMALL = Simulation(N=32, n_positions=20, photons=1e5)


def direct_counts(object_, probe, position):
    """Evaluate the diffraction integral term by term: an independent forward model."""
    N = probe.shape[-1]
    turns = np.arange(N) - N // 2
    kernel = np.exp(-2j * np.pi * np.outer(turns, np.arange(N)) / N) / np.sqrt(N)
    whole = np.floor(position)
    top, left = whole.astype(int) - N // 2
    total = np.zeros((N, N))
    for mode in probe.astype(np.complex128):
        waves = kernel @ mode @ kernel.T  # the probe as a sum of plane waves
        shift = [np.exp(-2j * np.pi * turns * r / N) for r in position - whole]
        moved = kernel.conj().T @ (waves * np.outer(*shift)) @ kernel.conj()
        total += np.abs(kernel @ (moved * object_[top : top + N, left : left + N]) @ kernel.T) ** 2
    return total


@few
@given(half=st.integers(4, 9), n_modes=st.integers(1, 3), seed=st.integers(0, 999))
def test_expected_counts_are_the_diffraction_integral(half, n_modes, seed):
    rng = np.random.default_rng(seed)
    N = 2 * half
    object_ = (rng.normal(size=(40, 44)) + 1j * rng.normal(size=(40, 44))).astype(np.complex64)
    probe = (rng.normal(size=(n_modes, N, N)) + 1j * rng.normal(size=(n_modes, N, N))).astype(np.complex64)
    positions = rng.uniform(half, 40 - half, (3, 2))
    counts = expected_counts(object_, probe, positions)
    for found, position in zip(counts, positions, strict=True):
        np.testing.assert_allclose(found, direct_counts(object_, probe, position), rtol=1e-5, atol=1e-6)


@few
@given(name=st.sampled_from(sorted(PROBES)), y=st.floats(16, 48), x=st.floats(16, 48), n_modes=st.integers(1, 3))
def test_a_transparent_object_passes_every_photon(name, y, x, n_modes):
    probe = modes(PROBES[name](32, 5e4), n_modes)
    counts = expected_counts(np.ones((64, 64), np.complex64), probe, np.array([[y, x]]))
    assert counts.sum() == pytest.approx(5e4, rel=1e-5)


def test_a_whole_pixel_position_sees_the_patch_that_the_contract_names():
    rng = np.random.default_rng(0)
    object_ = OBJECTS["dead_leaves"]((60, 60), rng)
    probe = PROBES["aperture"](32, 1e4)
    y, x = 21, 37
    exit_wave = probe[0] * object_[y - 16 : y + 16, x - 16 : x + 16]
    counts = expected_counts(object_, probe, np.array([[float(y), float(x)]]))[0]
    assert counts.sum() == pytest.approx(np.sum(np.abs(exit_wave) ** 2), rel=1e-5)
    assert counts[16, 16] == pytest.approx(np.abs(exit_wave.sum()) ** 2 / 32**2, rel=1e-4), "zero frequency at N // 2"


def test_moving_object_and_position_together_changes_nothing():
    rng = np.random.default_rng(1)
    object_ = OBJECTS["dead_leaves"]((70, 70), rng)
    probe = PROBES["aperture"](32, 1e4)
    position = np.array([[30.3, 28.8]])
    here = expected_counts(object_, probe, position)
    there = expected_counts(np.roll(object_, (3, -5), (0, 1)), probe, position + np.array([3, -5]))
    np.testing.assert_allclose(here, there, rtol=1e-9)


@pytest.mark.parametrize("object_", OBJECTS)
@pytest.mark.parametrize("scan", SCANS)
def test_every_patch_lies_inside_the_object(object_, scan):
    made = simulate(dataclasses.replace(SMALL, object=object_, scan=scan, n_positions=33), np.random.default_rng(2))
    corners = np.floor(made.positions).astype(int) - 16
    assert (corners >= 0).all()
    assert (corners + 32 <= made.object_.shape).all()
    assert made.patterns.shape == (33, 32, 32)
    assert np.issubdtype(made.patterns.dtype, np.unsignedinteger)


@pytest.mark.parametrize("n_modes", [1, 3])
def test_a_scan_overlaps_as_much_as_the_figures_of_a_scan_say(n_modes):
    choices = Simulation(probe="zone_plate", scan="raster", N=128, n_positions=100, n_modes=n_modes, overlap=0.6)
    assert statistics(simulate(choices, np.random.default_rng(0))).overlap == pytest.approx(0.6, abs=0.02)


def test_a_seed_decides_the_scan():
    once, again, other = (simulate(SMALL, np.random.default_rng(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(once.patterns, again.patterns)
    np.testing.assert_array_equal(once.positions, again.positions)
    assert not np.array_equal(once.positions, other.positions)
    assert not np.array_equal(once.patterns, other.patterns)


def test_the_origin_of_a_scan_says_every_choice_in_words():
    choices = Simulation("clouds", "zone_plate", "spiral", 48, 9, 2.5e4, 0.625, 2, 0.125, 3)
    said = simulate(choices, np.random.default_rng(0)).origin
    assert said.startswith("simulated counts: ")
    told = [value if isinstance(value, str) else f"{value:g}" for value in dataclasses.astuple(choices)]
    assert not [value for value in told if value not in said]
    assert not set("=()'") & set(said)


def test_dose_changes_neither_object_nor_positions():
    low, high = (simulate(dataclasses.replace(SMALL, photons=p), np.random.default_rng(3)) for p in (1e3, 1e7))
    np.testing.assert_array_equal(low.object_, high.object_)
    np.testing.assert_array_equal(low.positions, high.positions)
    np.testing.assert_allclose(high.probe, 100 * low.probe, rtol=1e-5)


def test_the_noise_is_poisson():
    choices = dataclasses.replace(SMALL, n_positions=200, photons=1e5, background=2.0)
    made = simulate(choices, np.random.default_rng(4))
    expected = expected_counts(made.object_, made.probe, made.positions) + 2.0
    residual = made.patterns - expected
    dispersion = np.mean(residual**2 / expected)  # 1 for Poisson: variance = mean
    n = expected.size
    assert abs(dispersion - 1) < 5 * np.sqrt(np.mean(2 + 1 / expected) / n)
    assert abs(residual.sum()) < 5 * np.sqrt(expected.sum())


def test_dead_pixels_read_zero_and_are_masked():
    made = simulate(dataclasses.replace(SMALL, n_dead_pixels=50, background=30.0), np.random.default_rng(5))
    assert np.count_nonzero(~made.mask) == 50
    assert not made.patterns[:, ~made.mask].any()
    assert made.patterns[:, made.mask].any(axis=0).all()


def test_bright_scans_keep_their_counts():
    made = simulate(dataclasses.replace(SMALL, photons=1e12), np.random.default_rng(6))
    expected = expected_counts(made.object_, made.probe, made.positions)
    np.testing.assert_allclose(made.counts_per_frame(), expected.sum((1, 2)), rtol=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"object": "nothing"},
        {"probe": "lamp"},
        {"scan": "walk"},
        {"N": 15},
        {"N": 14},
        {"n_positions": 0},
        {"photons": 0.0},
        {"photons": float("nan")},
        {"overlap": 1.0},
        {"overlap": -0.1},
        {"n_modes": 0},
        {"background": -1.0},
        {"n_dead_pixels": 32 * 32},
    ],
)
def test_choices_outside_their_range_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"^{name} .*(choose|give)"):
        dataclasses.replace(SMALL, **wrong)


def test_positions_beyond_the_object_are_refused():
    probe = PROBES["gaussian"](32, 1.0)
    with pytest.raises(ConfigError, match="beyond the object"):
        expected_counts(np.ones((40, 40), np.complex64), probe, np.array([[15.9, 20.0]]))
