"""The first guess of the inverse Hessian: a metric, and one in which long waves of the phase are no longer slow."""

import itertools
from dataclasses import replace

import pytest
import torch

from ptycho.config.refinement import Refinement
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import first_guess
from ptycho_torch.inference.captured import RECORDED_FROM
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.first_guess import FirstGuess, FramePhases
from ptycho_torch.inference.held_pixels import HeldPixels
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.prior import TotalVariation, edge_preserving
from ptycho_torch.inference.refine import refine
from ptycho_torch.physics.forward import place_on_canvas
from ptycho_torch.physics.modulus import squared_modulus
from tests.laws.contracts import inner, random_complex
from tests.laws.scans import on_device, small_scan, truth_on_canvas

ACQUISITION = small_scan(n_positions=120, n_modes=2, photons=1e7, object="dead_leaves", overlap=0.6)
SCAN, PLACEMENT, _ = on_device(ACQUISITION)
TRUTH = Estimate(truth_on_canvas(ACQUISITION), torch.from_numpy(ACQUISITION.probe))
LAW = Likelihood(SCAN, PLACEMENT, held_out_fraction=0.0, free=("object_",))


def canvas(seed):
    return random_complex(PLACEMENT.object_shape, seed)


@pytest.mark.parametrize("most", [1024, 20])
def test_it_is_symmetric_and_positive(monkeypatch, most):
    monkeypatch.setattr(first_guess, "MOST_UNKNOWN", most)
    phases = FramePhases(LAW, TRUTH)
    one, other = canvas(0), canvas(0) + canvas(1)
    assert inner(one, phases(other)).real == pytest.approx(inner(phases(one), other).real, rel=1e-4)
    for seed in range(5):
        assert inner(canvas(seed), phases(canvas(seed))).real > 0


def test_light_is_spread_where_frames_lie_and_seen_there_and_nothing_comes_round_an_edge():
    phases, look = FramePhases(LAW, TRUTH), PLACEMENT.look()
    light = squared_modulus(TRUTH.probe).sum(dim=0)
    light = light / light.sum()
    values = torch.rand(120, generator=torch.Generator().manual_seed(0))
    expected = look.adjoint(values[:, None, None] * light)
    torch.testing.assert_close(phases._spread(values), expected, rtol=1e-4, atol=1e-6 * float(expected.max()))
    image = canvas(0).real.abs()
    torch.testing.assert_close(phases._seen(image), (look(image) * light).sum(dim=(1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("length", [1, 64, 69, 127, 364, 728, 1009])
def test_transforms_are_of_even_lengths_without_large_prime_factors(length):
    fast = first_guess._fast(length)
    powers = (2**a * 3**b * 5**c for a, b, c in itertools.product(range(1, 12), range(7), range(5)))
    assert fast == min(size for size in powers if size >= length)


@pytest.mark.parametrize("factor", [1e-13, 1e10])
def test_a_probe_in_units_of_its_own_changes_the_step_by_its_light_alone(factor):
    found = FramePhases(LAW, replace(TRUTH, probe=TRUTH.probe * factor))(canvas(2)) * factor**2
    expected = FramePhases(LAW, TRUTH)(canvas(2))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_only_the_phase_of_the_object_is_moved():
    step = FramePhases(LAW, TRUTH)(canvas(2)) * TRUTH.object_.conj()
    assert step.real.abs().max() < 1e-5 * step.imag.abs().max()


def test_long_waves_of_the_phase_are_found_in_few_iterations(monkeypatch):
    height, width = PLACEMENT.object_shape
    error = torch.cos(2 * torch.pi * torch.arange(height) / height)[:, None].expand(height, width)
    start = replace(TRUTH, object_=TRUTH.object_ * torch.polar(torch.ones(height, width), 0.2 * error))
    lit = LAW.light(TRUTH) > 0.1 * LAW.light(TRUTH).max()

    def left():
        found = refine(start, SCAN, PLACEMENT, Refinement(6), held_out_fraction=0.0).at.object_
        phase = (found * TRUTH.object_.conj())[lit]
        return float((phase / phase.mean()).angle().square().mean().sqrt())

    together = left()
    monkeypatch.setattr(FramePhases, "__call__", lambda phases, gradient: torch.zeros_like(gradient))
    assert together < 0.4 * left()


def test_how_many_frames_are_looked_at_together_changes_nothing(monkeypatch):
    whole = FramePhases(LAW, TRUTH)(canvas(3))
    monkeypatch.setattr(first_guess, "FRAMES_AT_ONCE", 7)
    torch.testing.assert_close(
        FramePhases(LAW, TRUTH)(canvas(3)), whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max())
    )


def test_places_are_few_enough_and_hold_neighbours(monkeypatch):
    monkeypatch.setattr(first_guess, "MOST_UNKNOWN", 20)
    places = first_guess._places(PLACEMENT.corners)
    assert len(places.unique()) <= 20
    for place in places.unique():
        corners = PLACEMENT.corners[places == place]
        assert (corners.amax(dim=0) - corners.amin(dim=0)).max() < 0.5 * max(PLACEMENT.object_shape)


def test_frames_of_no_part_take_no_part():
    some = torch.arange(0, 120, 3)
    part = Likelihood(SCAN, PLACEMENT, held_out_fraction=0.0, frames=some)
    assert len(FramePhases(part, TRUTH)._first) == 40


def test_without_a_free_object_only_the_probe_is_scaled():
    guess = FirstGuess(LAW.freeing({"probe"}), TRUTH)
    gradient = Estimate(torch.zeros_like(TRUTH.object_), TRUTH.probe)
    assert not guess(gradient).object_.any()


def smooth_and_rough():
    height, width = PLACEMENT.object_shape
    wave = torch.cos(2 * torch.pi * torch.arange(height) / 20)[:, None].expand(height, width)
    return {"smooth": (1 + 1j) * wave, "rough": canvas(5)}


@pytest.mark.parametrize("change", ["smooth", "rough"])
def test_light_and_prior_are_inverted_for_changes_of_every_length(change):
    light = torch.full(PLACEMENT.object_shape, 100.0)
    prior = TotalVariation(1.0, light)
    d = smooth_and_rough()[change]
    held = HeldPixels(light, prior, torch.ones_like(d))
    again = held(light * d + prior.half_hessian(torch.ones_like(d))(d))
    assert float((again - d).norm() / d.norm()) < 0.5
    alone = (light * d + prior.half_hessian(torch.ones_like(d))(d)) / (light + prior.stiffness(torch.ones_like(d)))
    if change == "smooth":
        assert float((alone - d).norm() / d.norm()) > 0.7, "pixels alone would be too stiff"


def test_the_inverse_of_light_and_prior_is_symmetric_and_positive():
    light = LAW.light(TRUTH) + 1.0
    held = HeldPixels(light, TotalVariation(2.0, light), TRUTH.object_)
    one, other = canvas(0), canvas(0) + canvas(1)
    assert inner(one, held(other)).real == pytest.approx(inner(held(one), other).real, rel=1e-4)
    for seed in range(5):
        assert inner(canvas(seed), held(canvas(seed))).real > 0


@pytest.mark.gpu
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_gpu_that_replays_a_guess_makes_of_gradients_what_it_made_before_and_forgets_it(strength):
    scan = Scan.of(ACQUISITION, "cuda")
    placement, _ = place_on_canvas(scan.positions, scan.size)
    at = Estimate(TRUTH.object_.cuda(), TRUTH.probe.cuda())
    law = Likelihood(scan, placement, held_out_fraction=0.0)
    law = law.expecting(edge_preserving(strength, law.light(at), at.object_))
    # Libraries keep what they make at first.
    FirstGuess(law, at)(at)
    before = torch.cuda.memory_allocated()
    guess = FirstGuess(law, at)
    gradients = [replace(at, object_=canvas(seed).cuda()) for seed in range(RECORDED_FROM)]
    plain = [guess(gradient).object_.clone() for gradient in gradients]
    for gradient, expected in zip(gradients, plain, strict=True):
        found = guess(gradient).object_
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    torch.cuda.set_sync_debug_mode("error")
    try:
        again = guess(gradients[0]).object_
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert again.data_ptr() == found.data_ptr(), "it was recorded"
    del guess, gradients, plain, gradient, expected, found, again
    assert torch.cuda.memory_allocated() == before
