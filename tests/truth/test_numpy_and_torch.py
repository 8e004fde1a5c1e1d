"""The engine computes what the NumPy core computes, to single precision."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho.assembly.stitch import stitch
from ptycho.optics.propagate import expected_counts
from ptycho.simulation.simulate import expected_counts as simulated_counts
from ptycho_torch.objectives.poisson import poisson_nll
from ptycho_torch.physics.forward import detector, forward_model, merge, place_on_canvas, probe_weight
from ptycho_torch.physics.propagation import surrounding
from tests.laws.contracts import ROUNDING, random_complex


def assert_counts_agree(found, expected):
    """Amplitudes at the detector are sums of single precision, so their error is relative to the largest one."""
    error = np.abs(np.sqrt(found) - np.sqrt(expected)).max()
    assert error <= ROUNDING * np.sqrt(expected.max())


@given(seed=st.integers(0, 999), n_modes=st.integers(1, 3), size=st.sampled_from([7, 8, 16, 32]))
def test_expected_counts_of_a_scan(seed, n_modes, size):
    rng = np.random.default_rng(seed)
    object_ = random_complex((70, 80), seed)
    probe = random_complex((n_modes, size, size), seed + 1)
    positions = rng.uniform(size // 2, 60 - size // 2, (5, 2))
    placement, origin = place_on_canvas(torch.from_numpy(positions), size)
    (top, left), (height, width) = origin.tolist(), placement.object_shape
    patches = placement.look()(object_[top : top + height, left : left + width])
    counts = detector(placement.place().spread(probe))(patches)
    expected = simulated_counts(object_.numpy(), probe.numpy(), positions)
    assert_counts_agree(counts.numpy(), expected)
    bare, look, place = probe * surrounding(probe), placement.look(), placement.place()
    of_object = forward_model(bare, look, place)(object_[top : top + height, left : left + width])
    assert_counts_agree(of_object.numpy(), expected)


@given(seed=st.integers(0, 999), n_modes=st.integers(1, 3))
def test_expected_counts_of_patches(seed, n_modes):
    patches, probe = random_complex((4, 12, 12), seed), random_complex((n_modes, 12, 12), seed + 1)
    counts = detector(probe[None])(patches)
    assert_counts_agree(counts.numpy(), expected_counts(probe.numpy(), patches.numpy()))


@given(seed=st.integers(0, 999))
def test_stitching(seed):
    size, n = 16, 7
    positions = np.random.default_rng(seed).uniform(-30, 30, (n, 2))
    patches = random_complex((n, size, size), seed)
    weight = probe_weight(random_complex((2, size, size), seed + 1))
    placement, origin = place_on_canvas(torch.from_numpy(positions), size)
    canvas, coverage = merge(patches, weight, placement.look(), placement.place())
    expected, expected_coverage, expected_origin = stitch(patches.numpy(), positions, weight.numpy())
    assert origin.tolist() == expected_origin.tolist()
    assert canvas.shape == expected.shape
    error = np.abs(coverage.numpy() - expected_coverage)
    assert error.max() <= ROUNDING * n**0.5 * expected_coverage.max()
    lit = expected_coverage > 1e-3 * expected_coverage.max()
    bound = ROUNDING * n**0.5 * expected_coverage.max() / expected_coverage[lit] * np.abs(patches.numpy()).max()
    assert (np.abs(canvas.numpy() - expected)[lit] <= bound).all()


def test_poisson_likelihood_of_the_reference(golden):
    """Element by element and in the mean; the reference leaves out log(n!) as well."""
    case = golden("poisson_nll")
    measured, expected = (torch.from_numpy(case[f"intensity_{kind}"][..., 0]) for kind in ("target", "pred"))
    found = poisson_nll(expected, measured)
    # A difference of two terms: rounding is relative to the larger one, not to what is left of it.
    terms = expected + (measured * expected.log()).abs()
    error = (found - torch.from_numpy(case["elementwise"][..., 0])).abs()
    assert (error <= 1e-5 * terms).all()
    assert float(found.mean(dtype=torch.float64)) == pytest.approx(float(case["mean"]), rel=1e-5)


def test_illumination_and_far_field_of_the_reference(golden):
    """The case without mask and blur is this forward model, patch by patch.

    The case with a blurred exit wave (sigma 0.5) and a hard mask behind it is a choice of the reference that no room
    of the engine makes; its exit wave, taken as given, must still propagate alike.
    """
    plain = golden("forward_N64_mask0_sigma0.0")
    probe = torch.from_numpy(plain["effective_probe"][0, :, :, :, 0])
    patches = torch.from_numpy(plain["obj"][..., 0])
    assert_counts_agree(detector(probe[None])(patches).numpy(), plain["amplitude"][..., 0].astype(float) ** 2)
    masked = golden("forward_N64_mask1_sigma0.5")
    waves = torch.from_numpy(masked["illuminated"][..., 0])
    unit = torch.ones(1, 1, *waves.shape[-2:], dtype=torch.complex64)
    assert_counts_agree(detector(unit)(waves).numpy(), masked["amplitude"][..., 0].astype(float) ** 2)
