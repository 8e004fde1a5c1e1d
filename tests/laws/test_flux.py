"""Multiplying all counts by f multiplies the probe by sqrt(f) and leaves the object as it is."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.data.batch import Step, gather
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.scaling import flux_ratio, flux_sums, input_scale, probe_to_counts
from ptycho_torch.pinn.build import Constants, build
from tests.laws.contracts import random_complex
from tests.laws.scans import small_scan

SCAN = small_scan(n_dead_pixels=20)
CONFIG = TrainingConfig(ModelConfig(N=32, lean_width=8))


def brighter(acquisition, factor):
    return dataclasses.replace(acquisition, patterns=np.float32(factor) * acquisition.patterns.astype(np.float32))


@given(factor=st.floats(1e-3, 1e6))
def test_constants_follow_the_counts(factor):
    before, after = Constants.of(SCAN), Constants.of(brighter(SCAN, factor))
    torch.testing.assert_close(after.probe, before.probe * factor**0.5, rtol=1e-5, atol=0)
    assert after.input_scale == pytest.approx(before.input_scale / factor**0.5, rel=1e-5)
    frame = float(after.probe.abs().square().sum())
    assert frame == pytest.approx(factor * SCAN.counts_per_frame().mean(dtype=float), rel=1e-5)


@pytest.mark.parametrize("factor", [1e-2, 7.3, 1e4])
def test_the_network_sees_the_same_and_says_the_same(factor):
    seen, patches, canvases, counts = [], [], [], []
    groups = torch.arange(12)[None]

    def record(_network, given, made):
        seen.append(given[0])
        patches.append(made)

    for acquisition in (SCAN, brighter(SCAN, factor)):
        torch.manual_seed(0)
        pinn = build(CONFIG.model, CONFIG, Constants.of(acquisition)).eval()
        pinn.network.register_forward_hook(record)
        with torch.no_grad():
            prediction = pinn(gather(Scan.of(acquisition), Step(groups)))
        lit = prediction.coverage > 1e-3 * prediction.coverage.max()
        canvases.append(torch.where(lit, prediction.canvas, 0))
        counts.append(prediction.counts)
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(patches[1], patches[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(canvases[1], canvases[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(counts[1], factor * counts[0], rtol=1e-4, atol=1e-6 * float(counts[1].max()))


def test_a_mean_pattern_has_the_energy_that_networks_like():
    scan, constants = Scan.of(SCAN), Constants.of(SCAN)
    amplitude = scan.counts(slice(None)).sqrt() * constants.input_scale
    assert float(amplitude.square().sum(dim=(1, 2)).mean()) == pytest.approx(32**2 / 4, rel=1e-5)


@given(scale=st.floats(1e-3, 1e3), mean_counts=st.floats(1, 1e12))
def test_the_scale_of_the_probe_in_a_file_does_not_matter(scale, mean_counts):
    probe = random_complex((2, 8, 8), 0)
    torch.testing.assert_close(
        probe_to_counts(scale * probe, mean_counts), probe_to_counts(probe, mean_counts), rtol=1e-5, atol=0
    )
    assert input_scale(mean_counts, 64) ** 2 * mean_counts == pytest.approx(64**2 / 4)


@given(factor=st.floats(1e-6, 1e6))
def test_the_flux_ratio_is_the_factor_between_measured_and_expected(factor):
    expected = 10 * torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(1)) + 0.1
    assert flux_ratio(flux_sums(factor * expected, expected)) == pytest.approx(factor, rel=1e-5)


def test_the_flux_ratio_is_the_most_likely_scale():
    generator = torch.Generator().manual_seed(2)
    expected = 3 * torch.rand(4, 6, 6, generator=generator, dtype=torch.float64)
    measured = torch.poisson(2 * expected, generator=generator)
    best = flux_ratio(flux_sums(measured, expected))

    def likelihood(c):
        return float((c * expected - measured * (c * expected).log()).sum())

    assert likelihood(best) < min(likelihood(best * 1.01), likelihood(best * 0.99))


def test_the_flux_ratio_is_one_without_light():
    dark, lit = torch.zeros(2, 2), torch.ones(2, 2)
    assert flux_ratio(flux_sums(dark, lit)) == flux_ratio(flux_sums(lit, dark)) == 1.0
