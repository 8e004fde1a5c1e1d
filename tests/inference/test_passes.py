"""Passes in batches: they find the object from far away, and leave alone what they were not given."""

import dataclasses

import pytest
import torch

from ptycho.config.refinement import Refinement, Span
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.passes import approach, passed, with_modes
from tests.laws.scans import defocused, likeness, on_device, small_scan, truth_on_canvas

CPU = torch.device("cpu")


def flat_start(acquisition):
    _, placement, _ = on_device(acquisition)
    return Estimate(torch.ones(placement.object_shape, dtype=torch.complex64), torch.from_numpy(acquisition.probe))


def approached(acquisition, refinement, start=None):
    scan, placement, _ = on_device(acquisition)
    start = flat_start(acquisition) if start is None else start
    return approach(start, Likelihood(scan, placement, held_out_fraction=0.0), refinement)


def deviance(acquisition, at):
    scan, placement, _ = on_device(acquisition)
    return Likelihood(scan, placement, held_out_fraction=0.0)(at).deviance


def test_passes_go_most_of_the_way():
    acquisition = small_scan(n_positions=80)
    flat = deviance(acquisition, flat_start(acquisition))
    fine = deviance(acquisition, approached(acquisition, Refinement(passes=8)))
    assert fine < 0.05 * flat
    both = deviance(acquisition, approached(acquisition, Refinement(coarse_passes=8, passes=4)))
    assert both < 0.05 * flat


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_a_probe_of_another_scale_leads_to_the_same_counts(factor):
    acquisition = small_scan(n_positions=60)
    scaled = dataclasses.replace(acquisition, probe=acquisition.probe * factor)
    passes = Refinement(passes=3, coarse_passes=2, probe=Span())
    same, other = (iterate(scan, device=CPU, refinement=passes).deviance for scan in (acquisition, scaled))
    assert other == pytest.approx(same, rel=0.01)


def test_the_truth_without_noise_is_a_fixed_point():
    acquisition = small_scan(photons=1e9)
    scan, placement, _ = on_device(acquisition)
    truth = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe))
    likelihood = Likelihood(scan, placement, held_out_fraction=0.0)
    found = passed(truth, likelihood, 2, probe_free=True)
    lit = likelihood.light(truth) > 0.1 * likelihood.light(truth).max()
    assert (found.object_ - truth.object_)[lit].abs().max() < 2e-3
    assert (found.probe - truth.probe).norm() < 2e-3 * truth.probe.norm()


def test_a_probe_that_is_wrong_is_put_right_where_it_may_change():
    acquisition = small_scan(n_positions=80, photons=1e6)
    true = torch.from_numpy(acquisition.probe)
    wrong = dataclasses.replace(flat_start(acquisition), probe=defocused(true, 80.0))
    later = Refinement(iterations=9, passes=2, probe=Span(5))
    for fixed in (Refinement(passes=2), later):
        assert torch.equal(approached(acquisition, fixed, wrong).probe, wrong.probe)
    found = approached(acquisition, Refinement(passes=6, probe=Span()), wrong)
    stuck = approached(acquisition, Refinement(passes=6), wrong)
    assert likeness(found.probe, true) > likeness(wrong.probe, true)
    assert deviance(acquisition, found) < deviance(acquisition, stuck)


def test_only_the_frames_that_are_given_are_fitted():
    acquisition = small_scan()
    scan, placement, _ = on_device(acquisition)
    some = torch.arange(0, len(scan), 2)
    spoilt = scan.patterns.to(torch.float32).clone()
    spoilt[1::2] = 7.0
    other = dataclasses.replace(scan, patterns=spoilt)
    start = flat_start(acquisition)
    refinement = Refinement(coarse_passes=1, passes=1, probe=Span())
    ours, theirs = (
        approach(start, Likelihood(one, placement, held_out_fraction=0.0, frames=some), refinement)
        for one in (scan, other)
    )
    torch.testing.assert_close(ours.object_, theirs.object_)
    torch.testing.assert_close(ours.probe, theirs.probe)


def test_a_dead_pixel_says_nothing():
    acquisition = small_scan(n_dead_pixels=20)
    scan, placement, _ = on_device(acquisition)
    hot = scan.patterns.to(torch.float32) + 1e4 * ~scan.mask
    start = flat_start(acquisition)
    ours, theirs = (
        passed(start, Likelihood(one, placement, held_out_fraction=0.0), 1, probe_free=True)
        for one in (scan, dataclasses.replace(scan, patterns=hot))
    )
    torch.testing.assert_close(ours.object_, theirs.object_)


def test_pixels_held_out_say_nothing():
    scan, placement, _ = on_device(small_scan())
    honest = Likelihood(scan, placement, held_out_fraction=0.1)
    hot = dataclasses.replace(scan, patterns=scan.patterns.to(torch.float32) + 1e4 * honest.held)
    spoilt = Likelihood(hot, placement, held_out_fraction=0.1)
    refinement = Refinement(coarse_passes=1, passes=1, probe=Span())
    ours, theirs = (approach(flat_start(small_scan()), one, refinement) for one in (honest, spoilt))
    torch.testing.assert_close(ours.object_, theirs.object_)
    torch.testing.assert_close(ours.probe, theirs.probe)


def test_missing_modes_are_added_and_the_counts_stay():
    acquisition = small_scan(n_modes=1)
    probe = torch.from_numpy(acquisition.probe)
    three = with_modes(probe, 3)
    assert three.shape == (3, 32, 32)
    assert float(three.abs().square().sum()) == pytest.approx(float(probe.abs().square().sum()), rel=1e-5)
    overlaps = torch.einsum("myx,nyx->mn", three.conj(), three).abs()
    assert (overlaps - torch.diag(overlaps.diag())).max() < 1e-4 * overlaps.max()
    assert torch.equal(with_modes(three, 2), three)


def test_a_beam_of_two_modes_is_explained_by_two():
    acquisition = small_scan(n_modes=2, n_positions=80, photons=1e6)
    known = dataclasses.replace(acquisition, probe=acquisition.probe[:1])
    one, two = (iterate(known, device=CPU, refinement=Refinement(passes=8, probe=Span(), n_modes=n)) for n in (1, 2))
    truth = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe))
    noise = deviance(acquisition, truth)
    assert two.deviance - noise < 0.5 * (one.deviance - noise)
    assert len(two.final.probe) == 2


def test_coarse_passes_alone_improve_the_coarse_scan():
    acquisition = small_scan(n_positions=80)
    found = approached(acquisition, Refinement(coarse_passes=5))
    assert deviance(acquisition, found) < deviance(acquisition, flat_start(acquisition))


@pytest.mark.parametrize("iterations", [0, 3])
def test_the_curve_begins_before_the_passes_and_goes_on_after_them(iterations):
    acquisition = small_scan(n_positions=80)
    result = iterate(acquisition, device=CPU, refinement=Refinement(iterations, passes=4))
    curve = result.final.history["deviance"]
    assert len(curve) == iterations + 2
    assert result.iterations == iterations
    assert curve[1] < 0.2 * curve[0]


def test_what_lies_in_the_dark_at_the_start_does_no_harm():
    acquisition = small_scan(n_positions=80)
    scan, placement, _ = on_device(acquisition)
    flat = flat_start(acquisition)
    light = Likelihood(scan, placement, held_out_fraction=0.0).light(flat)
    wild = dataclasses.replace(flat, object_=torch.where(light < 3e-3 * light.max(), 300.0, flat.object_))
    passes = Refinement(passes=6, probe=Span())
    ours, theirs = (deviance(acquisition, approached(acquisition, passes, start)) for start in (flat, wild))
    assert theirs == pytest.approx(ours, rel=0.01)
