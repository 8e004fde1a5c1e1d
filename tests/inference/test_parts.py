"""Flux, background and a probe that changes from frame to frame: found, and told in one normal form."""

import dataclasses

import numpy as np
import torch

from ptycho.config.refinement import Refinement, Span
from ptycho.metrics.summary import compare
from ptycho.simulation.simulate import expected_counts
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.likelihood import Estimate, Likelihood
from ptycho_torch.inference.parts import settled
from ptycho_torch.inference.refine import refine
from tests.laws.contracts import random_complex
from tests.laws.scans import on_device, small_scan, truth_on_canvas

CPU = torch.device("cpu")
SCAN = small_scan(n_positions=100, photons=1e6)
COUNTS = expected_counts(SCAN.object_, SCAN.probe, SCAN.positions)
RNG = np.random.default_rng(0)


def counted(expected):
    return dataclasses.replace(SCAN, patterns=np.random.default_rng(1).poisson(expected).astype(np.uint32))


def refined(acquisition, iterations=40, **spans):
    return iterate(acquisition, device=CPU, refinement=Refinement(iterations, total_variation=0.0, **spans)).final


def error(found):
    return compare(found, SCAN.object_).complex_nrmse


def test_the_flux_of_every_frame_is_found():
    flux = RNG.uniform(0.7, 1.3, 100)
    scan = counted(COUNTS * flux[:, None, None])
    found = refined(scan, flux=Span())
    np.testing.assert_allclose(found.flux, flux / flux.mean(), rtol=0.03)
    assert error(found) < 0.3 * error(refined(scan))


def test_a_background_is_found_and_none_where_there_is_none():
    scan = counted(COUNTS + 3.0)
    found = refined(scan, background=Span())
    # The rim of the object, which few frames see, takes a part of it up.
    assert 2.7 < found.background < 3.1
    assert error(found) < 0.5 * error(refined(scan))
    assert refined(SCAN, background=Span()).background < 0.01


def test_a_probe_that_changes_from_frame_to_frame_is_found():
    """The main mode of frame j is P + a_j V: a tilt that swings during the scan."""
    columns = np.arange(32) - 16
    change = 0.3j * SCAN.probe[0] * (columns / 8)
    weights = np.sin(np.linspace(0, 9, 100))
    expected = [
        expected_counts(SCAN.object_, (SCAN.probe + weight * change).astype(np.complex64), position[None])[0]
        for weight, position in zip(weights, SCAN.positions, strict=True)
    ]
    scan = counted(np.stack(expected))
    found = refined(scan, probe_variation=Span(5), n_variations=2)
    assert abs(np.corrcoef(found.variation_weights[:, 0], weights)[0, 1]) > 0.99
    strengths = np.sqrt(np.mean(found.variation_weights**2, axis=0))
    assert strengths[1] < 0.2 * strengths[0]
    assert error(found) < 0.5 * error(refined(scan))


def test_the_normal_form_is_the_same_model():
    scan, placement, _ = on_device(SCAN)
    rng = torch.Generator().manual_seed(0)
    probe = torch.from_numpy(SCAN.probe)
    at = Estimate(
        truth_on_canvas(SCAN),
        probe,
        gain=2 + 0.3 * torch.randn(100, generator=rng),
        variations=random_complex((2, 32, 32), 1) * probe.abs().max(),
        weights=0.1 * torch.randn(100, 2, generator=rng) + 0.05,
    )
    told = settled(at, torch.arange(100), frozenset(at.parts))
    law = Likelihood(scan, placement, held_out_fraction=0.0)
    for (*_, one), (*_, other) in zip(law.fields(at), law.fields(told), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
    assert abs(float(told.gain.square().mean()) - 1) < 1e-5
    assert told.weights.mean(dim=0).abs().max() < 1e-6
    pairs = torch.view_as_real(told.variations).flatten(1)
    powers = pairs @ pairs.T / told.probe[0].abs().square().sum()
    torch.testing.assert_close(powers, torch.eye(2), rtol=0, atol=1e-4)
    strengths = told.weights.square().sum(dim=0)
    assert strengths[0] > strengths[1]


def test_what_is_not_asked_for_keeps_its_form():
    """A half of a scan that is given flux and variations of the whole keeps their meaning: others share them."""
    scan, placement, _ = on_device(SCAN)
    probe = torch.from_numpy(SCAN.probe)
    at = Estimate(
        truth_on_canvas(SCAN),
        probe,
        gain=torch.linspace(0.7, 1.3, 100),
        variations=random_complex((1, 32, 32), 1) * probe.abs().max(),
        weights=torch.linspace(-0.1, 0.1, 100)[:, None],
    )
    half = refine(at, scan, placement, Refinement(1), frames=torch.arange(50)).at
    assert torch.equal(half.probe, at.probe)
    for name in ("gain", "variations", "weights"):
        assert torch.equal(getattr(half, name), getattr(at, name))
