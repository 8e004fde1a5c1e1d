"""Likelihood iterations: they never get worse, reach what the photons allow, stop where noise begins."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ptycho.config.refinement import Refinement, Span
from ptycho.metrics.summary import compare
from ptycho_torch.inference import refine as refine_module
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.prior import TotalVariation
from ptycho_torch.inference.reconstruct import maximum_likelihood
from ptycho_torch.inference.refine import refine
from ptycho_torch.inference.result import reconstruction_of
from tests.laws.contracts import random_complex
from tests.laws.scans import likeness, on_device, small_scan, truth_on_canvas

CPU = torch.device("cpu")


def refined(acquisition, start=None, probe=None, iterations=40, held_out_fraction=0.02, spans=None):
    scan, placement, _ = on_device(acquisition)
    truth = truth_on_canvas(acquisition)
    start = torch.ones_like(truth) if start is None else start
    probe = torch.from_numpy(acquisition.probe) if probe is None else probe
    refinement = Refinement(iterations, **(spans or {}))
    return refine(Estimate(start, probe), scan, placement, refinement, held_out_fraction=held_out_fraction)


def error(found, acquisition):
    """Distance from the truth where there is light, after the best global phase; relative."""
    lit = found.coverage > 0.3 * found.coverage.max()
    ours, truth = found.at.object_[lit], truth_on_canvas(acquisition)[lit]
    turn = torch.vdot(ours, truth)
    return float((ours * turn / turn.abs() - truth).norm() / truth.norm())


@pytest.mark.parametrize("photons", [30.0, 1e4, 1e6])
@pytest.mark.parametrize("probe", [None, Span(), Span(3)])
def test_the_deviance_never_grows(photons, probe):
    acquisition = small_scan(photons=photons, n_modes=2, n_dead_pixels=20)
    found = refined(acquisition, iterations=25, spans={"probe": probe})
    curve = found.history["deviance"]
    assert all(after <= before for before, after in itertools.pairwise(curve))
    assert curve[-1] < curve[0]
    assert len(found.history["held_out_deviance"]) == len(found.history["r_factor"]) == len(curve) <= 26


def test_a_flat_start_reaches_what_the_photons_allow():
    acquisition = small_scan(photons=1e6, n_positions=60)
    limit = compare(maximum_likelihood(acquisition, device=CPU, iterations=60), acquisition.object_)
    flat = refined(acquisition, iterations=40)
    assert error(flat, acquisition) < 1.2 * limit.complex_nrmse
    assert error(refined(acquisition, iterations=0), acquisition) > 10 * limit.complex_nrmse


def test_more_photons_give_a_better_object():
    errors = [
        error(refined(small_scan(photons=photons, n_positions=60)), small_scan(n_positions=60))
        for photons in (1e3, 1e5, 1e7)
    ]
    # The error of an amplitude is one over the root of its counts: ten times for a hundred times the photons.
    for less, more in itertools.pairwise(errors):
        assert 3 < less / more < 15


def test_without_iterations_the_start_comes_back():
    start = random_complex(truth_on_canvas(small_scan()).shape, 0)
    found = refined(small_scan(), start, iterations=0)
    assert torch.equal(found.at.object_, start)
    assert len(found.history["deviance"]) == 1
    assert not found.stopped_early


def test_noise_is_not_followed_for_long_and_a_bright_scan_is_finished():
    dim = refined(small_scan(photons=10.0, n_positions=100), iterations=60, held_out_fraction=0.1)
    assert dim.stopped_early
    assert len(dim.history["deviance"]) < 31
    acquisition = small_scan(photons=1e7, n_positions=100)
    bright, all_ = (refined(acquisition, iterations=40, held_out_fraction=fraction) for fraction in (0.02, 0.0))
    assert len(bright.history["deviance"]) > 20
    assert error(bright, acquisition) < 1.05 * error(all_, acquisition)


def test_the_best_estimate_by_the_held_out_pixels_is_the_one_that_counts():
    acquisition = small_scan(photons=10.0, n_positions=100)
    found = refined(acquisition, iterations=60, held_out_fraction=0.1)
    curve = found.history["held_out_deviance"]
    scan, placement, _ = on_device(acquisition)
    again = refine(found.at, scan, placement, Refinement(0), held_out_fraction=0.1)
    there = again.history["held_out_deviance"][0]
    assert min(abs(each - there) for each in curve) < 1e-6 * there
    assert again.history["held_out_deviance"][0] < curve[-1]
    assert found.held_out_deviance == pytest.approx(there, rel=1e-6)


def test_without_held_out_pixels_the_iterations_go_on():
    found = refined(small_scan(photons=100.0, n_positions=100), iterations=30, held_out_fraction=0.0)
    assert not found.stopped_early
    assert found.history["held_out_deviance"] == [0.0] * len(found.history["deviance"])


def error_but_for_a_ramp(found, acquisition):
    """The same where the probe is free: it can take any ramp of the object's phase, and any scale, upon itself."""
    _, placement, origin = on_device(acquisition)
    image = reconstruction_of(found.at, found.coverage, origin, acquisition, {}, placement)
    return compare(image, acquisition.object_, min_coverage=0.3).complex_nrmse


def disturbed(probe):
    rows, columns = torch.meshgrid(torch.arange(32.0) - 16, torch.arange(32.0) - 16, indexing="ij")
    return probe * torch.polar(1 + 0.1 * torch.cos(rows / 4), 0.3 * torch.sin(columns / 5))


def test_a_disturbed_probe_is_recovered():
    acquisition = small_scan(photons=1e6, n_positions=100)
    true = torch.from_numpy(acquisition.probe)
    wrong = disturbed(true)
    kept = refined(acquisition, probe=wrong, iterations=60)
    freed = refined(acquisition, probe=wrong, iterations=60, spans={"probe": Span()})
    assert torch.equal(kept.at.probe, wrong)
    assert 1 - likeness(freed.at.probe, true) < 0.6 * (1 - likeness(wrong, true))
    assert freed.history["deviance"][-1] < 0.5 * kept.history["deviance"][-1]
    assert error_but_for_a_ramp(freed, acquisition) < 0.6 * error_but_for_a_ramp(kept, acquisition)


def test_the_scale_and_phase_of_the_start_do_not_matter_for_long():
    acquisition = small_scan(photons=1e6, n_positions=60)
    start = 0.6 * torch.ones_like(truth_on_canvas(acquisition)) * torch.polar(torch.tensor(1.0), torch.tensor(2.0))
    assert error(refined(acquisition, start), acquisition) == pytest.approx(
        error(refined(acquisition), acquisition), rel=0.1
    )


def test_what_masked_pixels_hold_changes_nothing():
    acquisition = small_scan(n_dead_pixels=40)
    wild = np.where(acquisition.mask, acquisition.patterns, 60_000).astype(acquisition.patterns.dtype)
    one, other = refined(acquisition), refined(dataclasses.replace(acquisition, patterns=wild))
    assert torch.equal(one.at.object_, other.at.object_)
    assert one.history == other.history


def test_a_scan_moved_as_a_whole_gives_the_same_object():
    acquisition = small_scan()
    moved = dataclasses.replace(acquisition, positions=acquisition.positions + np.array([300.0, -70.0]))
    scan, placement, _ = on_device(moved)
    start = torch.ones(placement.object_shape, dtype=torch.complex64)
    found = refine(Estimate(start, torch.from_numpy(moved.probe)), scan, placement, Refinement(10))
    torch.testing.assert_close(found.at.object_, refined(acquisition, iterations=10).at.object_, rtol=1e-2, atol=1e-3)


def test_iterations_of_a_bright_scan_do_not_end_in_rounding():
    """At 1e5 counts and more a pixel the objective must still be known to less than what a step gains."""
    acquisition = small_scan(n_positions=80, photons=1e9)
    scan, placement, _ = on_device(acquisition)
    start = Estimate(torch.ones(placement.object_shape, dtype=torch.complex64), torch.from_numpy(acquisition.probe))
    curve = refine(start, scan, placement, Refinement(60)).history["deviance"]
    assert len(curve) == 61
    assert curve[-1] < 1.5


def test_values_are_scaled_anew_and_patience_is_whole_again_when_something_else_becomes_free(monkeypatch):
    begun, waited = [], []
    begin, wait = refine_module._Walk.begin, refine_module.Stopping.wait
    monkeypatch.setattr(refine_module._Walk, "begin", lambda walk, *of: (begun.append(of[1]), begin(walk, *of)))
    monkeypatch.setattr(refine_module.Stopping, "wait", lambda rule: (waited.append(len(begun)), wait(rule)))
    refined(small_scan(), iterations=8, spans={"probe": Span(3)})
    assert (begun, waited) == ([0, 3], [1, 2])


def test_what_is_unexplained_is_noise_to_the_prior_of_the_first_iterations_alone(monkeypatch):
    begun, begin = [], refine_module._Walk.begin

    def noted(walk, at, iteration, tries):
        begin(walk, at, iteration, tries)
        begun.append((iteration, walk.likelihood.prior.strength))

    monkeypatch.setattr(refine_module._Walk, "begin", noted)
    acquisition = small_scan(photons=1e6)
    scan, placement, _ = on_device(acquisition)
    truth = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe))
    prior = TotalVariation(1.0, torch.full(placement.object_shape, 1e6))
    refine(truth, scan, placement, Refinement(8), prior=prior)
    assert begun == [(0, 1.0), (3, 1.0), (6, 1.0)]
    begun.clear()
    far = dataclasses.replace(truth, object_=torch.ones_like(truth.object_))
    curve = refine(far, scan, placement, Refinement(8), prior=prior).history["deviance"]
    assert begun[0] == (0, pytest.approx(curve[0], rel=1e-3))
    assert begun[-1] == (refine_module.RESCALED[-1], 1.0)
    assert curve[0] > refine_module.UNEXPLAINED
    begun.clear()
    refine(far, scan, placement, Refinement(6), prior=prior)
    assert begun == [(0, 1.0), (3, 1.0)], "no iterations follow that would take it as it is"


def test_a_step_that_fails_early_does_not_end_what_a_prior_holds(monkeypatch):
    """The prior was that of a start which explains little, and values were scaled by it."""
    failed, step = [], refine_module._Walk.step

    def fails_once(walk):
        failed.append(len(failed) == 2)
        return False if failed[-1] else step(walk)

    monkeypatch.setattr(refine_module._Walk, "step", fails_once)
    acquisition = small_scan(photons=1e6)
    scan, placement, _ = on_device(acquisition)
    flat = Estimate(torch.ones(placement.object_shape, dtype=torch.complex64), torch.from_numpy(acquisition.probe))
    prior = TotalVariation(1.0, torch.full(placement.object_shape, 1e6))
    assert len(refine(flat, scan, placement, Refinement(12), prior=prior).history["deviance"]) == 13
    assert any(failed)
    failed.clear()
    assert len(refine(flat, scan, placement, Refinement(12)).history["deviance"]) == 4


@pytest.mark.parametrize("free", [{}, {"positions": Span(2)}], ids=["positions held", "positions free"])
def test_values_are_scaled_anew_while_the_probe_moves_alone(monkeypatch, free):
    begun, begin = [], refine_module._Walk.begin
    monkeypatch.setattr(refine_module._Walk, "begin", lambda walk, *of: (begun.append(of[1]), begin(walk, *of)))
    monkeypatch.setattr(refine_module, "SEARCHES", {})
    monkeypatch.setattr(refine_module, "PROBE_RESCALED", 3)
    refined(small_scan(), iterations=9, held_out_fraction=0.0, spans={"probe": Span(2)} | free)
    assert begun == ([0, 2] if free else [0, 2, 5, 8])


@pytest.mark.parametrize("counts", [1e-12, 1e-6, 0.1])
def test_a_background_of_next_to_nothing_holds_nothing_else_up(counts):
    """Its square root has no slope at zero, and steps that trust in that are far too long."""
    acquisition = small_scan(photons=1e5, n_positions=60)
    scan, placement, _ = on_device(acquisition)
    start = Estimate(torch.ones_like(truth_on_canvas(acquisition)), torch.from_numpy(acquisition.probe))
    without = refine(start, scan, placement, Refinement(15), held_out_fraction=0.0).history["deviance"]
    start = dataclasses.replace(start, haze=torch.tensor(counts**0.5))
    curve = refine(start, scan, placement, Refinement(15, background=Span()), held_out_fraction=0.0)
    assert curve.history["deviance"][-1] < 1.1 * without[-1]
    assert float(curve.at.haze.square()) < 0.05
