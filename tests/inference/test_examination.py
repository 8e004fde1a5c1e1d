"""What the counts of one half find wrong with an object that had no part in them."""

import dataclasses

import numpy as np
import pytest
import torch

from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.examination import examine
from ptycho_torch.inference.likelihood import Likelihood
from tests.laws.scans import on_device, small_scan, truth_on_canvas


def smooth_field(shape, generator):
    """A random field of unit power whose details are a few pixels wide, as errors are."""
    turns = torch.hypot(torch.fft.fftfreq(shape[0])[:, None], torch.fft.fftfreq(shape[1]))
    field = torch.fft.ifft2(torch.randn(shape, dtype=torch.complex64, generator=generator) * (turns < 0.12))
    return field / field.abs().square().mean().sqrt()


def examined(photons, sigma, seed=0):
    """Examine the truth with an error, and with another error of the same size as the difference."""
    scan_of = small_scan(n_positions=60, photons=photons, overlap=0.8)
    scan, placement, _ = on_device(scan_of)
    generator = torch.Generator().manual_seed(seed)
    truth = truth_on_canvas(scan_of)
    error, difference = (sigma * smooth_field(truth.shape, generator) for _ in range(2))
    likelihood = Likelihood(scan, placement, held_out_fraction=0.0)
    at = Estimate(truth + error, torch.from_numpy(scan_of.probe))
    light = likelihood.light(at)
    return examine(likelihood, at, difference, generator), (light > 0.3 * light.max()).numpy()


@pytest.mark.parametrize(("photons", "sigma"), [(3e3, 0.1), (1e5, 0.03)])
@pytest.mark.parametrize("part", [np.real, np.imag])
def test_an_error_counts_as_much_as_a_difference_of_its_size(photons, sigma, part):
    error, noise, apart = np.mean(
        [
            [np.mean(part(getattr(found, name))[lit] ** 2) for name in ("error", "noise", "difference")]
            for found, lit in (examined(photons, sigma, seed) for seed in range(4))
        ],
        axis=0,
    )
    assert (error - noise) / apart == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("photons", [1e3, 1e5])
def test_at_the_truth_there_is_nothing_but_noise(photons):
    found, lit = examined(photons, 0.0)
    error, noise = (np.mean(np.abs(getattr(found, name)[lit]) ** 2) for name in ("error", "noise"))
    assert error / noise == pytest.approx(1, abs=0.15)
    assert not found.difference.any()


def test_a_factor_on_the_object_is_found_with_its_sign():
    scan_of = small_scan(n_positions=60, photons=1e6, overlap=0.8)
    scan, placement, _ = on_device(scan_of)
    likelihood = Likelihood(scan, placement, held_out_fraction=0.0)
    at = Estimate(1.05 * truth_on_canvas(scan_of), torch.from_numpy(scan_of.probe))
    found = examine(likelihood, at, torch.zeros_like(at.object_), torch.Generator().manual_seed(0))
    light = likelihood.light(at)
    lit = (light > 0.3 * light.max()).numpy()
    assert found.error.real[lit].mean() == pytest.approx(0.05 * np.abs(at.object_.numpy()[lit]).mean(), rel=0.2)


def test_a_wrong_probe_and_a_drift_are_found_wrong():
    scan_of = small_scan(n_positions=60, photons=1e5, overlap=0.8)
    scan, placement, _ = on_device(scan_of)
    truth, probe = truth_on_canvas(scan_of), torch.from_numpy(scan_of.probe)

    def excess(at, place=placement):
        likelihood = Likelihood(scan, place, held_out_fraction=0.0)
        found = examine(likelihood, at, torch.zeros_like(truth), torch.Generator().manual_seed(0))
        light = likelihood.light(at).numpy()
        error, noise = (np.average(np.abs(part) ** 2, weights=light) for part in (found.error, found.noise))
        return error / noise

    drift = dataclasses.replace(placement, remainder=placement.remainder + torch.linspace(0, 2, 60)[:, None])
    assert excess(Estimate(truth, probe)) == pytest.approx(1, abs=0.15)
    assert excess(Estimate(truth, probe.roll(1, dims=-1))) > 2
    assert excess(Estimate(truth, probe), drift) > 2
