"""A prior is a function with its gradient and a parabola above it; zero strength is nothing, great strength is all."""

import pytest
import torch

from ptycho.config.refinement import Refinement
from ptycho.metrics.summary import compare
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.prior import TotalVariation, edge_preserving
from ptycho_torch.inference.reconstruct import maximum_likelihood
from ptycho_torch.inference.refine import refine
from tests.laws.contracts import random_complex
from tests.laws.scans import on_device, small_scan, truth_on_canvas

CPU = torch.device("cpu")
SHAPE = (24, 31)
LIGHT = 50 * (1 + random_complex(SHAPE, 0).abs())
AT, ALONG = (random_complex(SHAPE, seed, torch.complex128) for seed in (1, 3))
PRIORS = {
    "flat": TotalVariation(1.3, LIGHT.double()),
    "of a bright scan": TotalVariation(1.1, 1e5 * LIGHT.double()),
}


def re_inner(a, b):
    return float((a.conj() * b).real.sum())


def value(prior, at):
    return float(prior(at)[0])


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_the_gradient_is_that_of_finite_differences(prior):
    step = 1e-6
    slope = (value(prior, AT + step * ALONG) - value(prior, AT - step * ALONG)) / (2 * step)
    assert re_inner(prior(AT)[1], ALONG) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
@pytest.mark.parametrize("length", [-2.0, -0.1, 0.03, 0.5, 3.0])
def test_the_parabola_lies_above_the_value(prior, length):
    slope = prior(AT)[1]
    bound = value(prior, AT) + length * re_inner(slope, ALONG) + length**2 / 2 * float(prior.curvature(AT, ALONG))
    assert value(prior, AT + length * ALONG) <= bound


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_the_stiffness_is_half_the_curvature_of_a_pixel_alone(prior):
    stiff = prior.stiffness(AT)
    for pixel in ((0, 0), (0, 9), (7, 0), (11, 5), (23, 30), (23, 4), (6, 30)):
        alone = torch.zeros(SHAPE, dtype=torch.complex128)
        alone[pixel] = 1j
        assert float(stiff[pixel]) == pytest.approx(float(prior.curvature(AT, alone)) / 2, rel=1e-6)


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_the_half_hessian_is_symmetric_and_half_the_curvature_along_every_direction(prior):
    made = prior.half_hessian(AT)
    assert re_inner(ALONG, made(ALONG)) == pytest.approx(float(prior.curvature(AT, ALONG)) / 2, rel=1e-9)
    assert re_inner(AT, made(ALONG)) == pytest.approx(re_inner(made(AT), ALONG), rel=1e-9)


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_a_misfit_is_as_good_as_fewer_photons(prior):
    dim = TotalVariation(prior.strength, prior.light / 30, prior.size)
    assert value(prior.dimmed(30.0), AT) == pytest.approx(30 * value(dim, AT), rel=1e-12)


def test_a_constant_costs_nothing():
    constant = torch.full(SHAPE, 0.3 - 2j, dtype=torch.complex128)
    assert value(PRIORS["flat"], constant) == pytest.approx(0, abs=1e-9)


def test_a_step_costs_what_it_is_high_and_not_its_square():
    low, high = torch.zeros(SHAPE, dtype=torch.complex64), torch.zeros(SHAPE, dtype=torch.complex64)
    low[:, 15:], high[:, 15:] = 10, 20
    flat = TotalVariation(1.0, LIGHT)
    assert value(flat, high) == pytest.approx(2 * value(flat, low), rel=0.01)


@pytest.mark.parametrize("photons", [1.0, 1e5])
def test_the_prior_does_not_know_how_object_and_probe_share_a_factor(photons):
    one = edge_preserving(1.0, photons * LIGHT.double(), AT)
    other = edge_preserving(1.0, photons * LIGHT.double() / 9, 3 * AT)
    assert value(other, 3 * AT) == pytest.approx(value(one, AT), rel=1e-5)


DIM = small_scan(photons=1e3, n_positions=60)


def refined(prior, iterations=30, start=None):
    scan, placement, _ = on_device(DIM)
    start = Estimate(truth_on_canvas(DIM) if start is None else start, torch.from_numpy(DIM.probe))
    return refine(start, scan, placement, Refinement(iterations), held_out_fraction=0.0, prior=prior)


def light():
    return refined(None, iterations=0).coverage


def test_no_strength_is_maximum_likelihood():
    assert edge_preserving(0.0, light(), truth_on_canvas(DIM)) is None
    scan, placement, _ = on_device(DIM)
    at = Estimate(truth_on_canvas(DIM), torch.from_numpy(DIM.probe))
    none, nil = (
        Likelihood(scan, placement, held_out_fraction=0.0, prior=prior)(at)
        for prior in (None, TotalVariation(0.0, light()))
    )
    assert none.objective == nil.objective
    assert torch.equal(none.gradient.object_, nil.gradient.object_)


def test_an_object_stays_flat_as_the_strength_grows():
    start = torch.ones_like(truth_on_canvas(DIM))
    lit = light() > 0.3 * light().max()
    moved = []
    for strength in (1.0, 1e2, 1e4):
        change = (refined(TotalVariation(strength, light()), start=start).at.object_ - start)[lit]
        moved.append(float((change - change.mean()).norm() / start[lit].norm()))
    assert moved[0] > 3 * moved[1] > 9 * moved[2]
    assert moved[2] < 0.01


def test_few_photons_give_a_better_image():
    lit = light() > 0.3 * light().max()
    truth = truth_on_canvas(DIM)[lit]

    def error(found):
        ours = found.at.object_[lit]
        turn = torch.vdot(ours, truth)
        return float((ours * turn / turn.abs() - truth).norm() / truth.norm())

    assert error(refined(TotalVariation(1.0, light()))) < 0.7 * error(refined(None))


@pytest.mark.parametrize("object_", ["lines", "clouds"])
def test_many_photons_are_taken_at_their_word(object_):
    bright = small_scan(photons=1e8, n_positions=60, object=object_)
    limit = compare(maximum_likelihood(bright, device=CPU, iterations=60), bright.object_)
    found = compare(iterate(bright, device=CPU, refinement=Refinement(60)).final, bright.object_)
    assert found.amplitude_psnr > limit.amplitude_psnr - 1
    assert found.phase_psnr > limit.phase_psnr - 1
