"""The likelihood of a scan: its value, its gradient, its curvature."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from ptycho_torch.inference import likelihood as likelihood_module
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.objectives.poisson import poisson_deviance, tempered_deviance
from ptycho_torch.physics.forward import detector, place_on_canvas
from tests.laws.contracts import inner, random_complex
from tests.laws.scans import on_device, small_scan, truth_on_canvas

ACQUISITION = small_scan(n_positions=9, n_modes=2, n_dead_pixels=40, photons=2e4)
SCAN, PLACEMENT, _ = on_device(ACQUISITION)
PROBE = torch.from_numpy(ACQUISITION.probe)
TRUTH = Estimate(truth_on_canvas(ACQUISITION), PROBE)
AWAY = Estimate(
    TRUTH.object_ * (1 + 0.1 * random_complex(TRUTH.object_.shape, 0)),
    PROBE * (1 + 0.1 * random_complex(PROBE.shape, 1)),
)
WHOLE = partial(Likelihood, SCAN, PLACEMENT, held_out_fraction=0.0, free=("object_", "probe"))


def expected_of(at):
    """The forward model of the one page, from operators."""
    return detector(PLACEMENT.place().spread(at.probe))(PLACEMENT.look()(at.object_))


def half_objective(at, used):
    return (tempered_deviance(expected_of(at), SCAN.counts(slice(None)))[0] / 2 * used).sum(dtype=torch.float64)


@pytest.mark.parametrize("held_out_fraction", [0.0, 0.1])
def test_the_gradient_is_that_of_the_composed_operators(held_out_fraction):
    law = WHOLE(held_out_fraction=held_out_fraction)
    at = Estimate(AWAY.object_.clone().requires_grad_(), AWAY.probe.clone().requires_grad_())
    half_objective(at, SCAN.mask & ~law.held).backward()
    found = law(AWAY).gradient
    for ours, walked in ((found.object_, at.object_.grad), (found.probe, at.probe.grad)):
        assert (ours - walked).abs().max() < 1e-4 * walked.abs().max()


def test_the_gradient_is_that_of_finite_differences():
    law = WHOLE()
    for direction in (
        Estimate(random_complex(AWAY.object_.shape, 2), torch.zeros_like(PROBE)),
        Estimate(torch.zeros_like(AWAY.object_), random_complex(PROBE.shape, 3) * float(PROBE.abs().max())),
    ):
        slope = float(law(AWAY).gradient.dot(direction))
        step = 1e-3
        there, back = (law(AWAY.plus(sign * step, direction)).objective for sign in (1, -1))
        assert (there - back) / (2 * step) == pytest.approx(slope, rel=1e-2)


def test_without_a_free_probe_its_gradient_is_zero_and_the_object_s_the_same():
    bound = WHOLE(free=("object_",))(AWAY).gradient
    assert not bound.probe.any()
    torch.testing.assert_close(bound.object_, WHOLE()(AWAY).gradient.object_)


def test_chunks_change_nothing(monkeypatch):
    whole, direction = WHOLE(held_out_fraction=0.05), Estimate(TRUTH.object_, PROBE)
    monkeypatch.setitem(likelihood_module.CHUNK_BYTES, "cpu", 2 * 8 * 32**2)
    parts = WHOLE(held_out_fraction=0.05)
    assert (len(whole.chunks), len(parts.chunks)) == (1, 5)
    one, other = whole(AWAY), parts(AWAY)
    for name in ("deviance", "held_out_mean", "r_factor", "objective"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-6)
    scale = one.gradient.object_.abs().max()
    assert (other.gradient.object_ - one.gradient.object_).abs().max() < 1e-5 * scale
    assert parts.curvature(AWAY, direction) == pytest.approx(whole.curvature(AWAY, direction), rel=1e-5)
    assert parts.flux(AWAY) == pytest.approx(whole.flux(AWAY), rel=1e-6)
    torch.testing.assert_close(parts.light(AWAY), whole.light(AWAY))
    torch.testing.assert_close(parts.transparency(AWAY), whole.transparency(AWAY))


def test_the_truth_costs_about_one_a_pixel_and_nothing_costs_less_than_zero():
    bright = small_scan(n_positions=9, photons=1e7)
    scan, placement, _ = on_device(bright)
    at = Estimate(truth_on_canvas(bright), torch.from_numpy(bright.probe))
    law = Likelihood(scan, placement, held_out_fraction=0.1)
    value = law(at)
    # Pixels of few counts cost a little less or more than 1.
    assert value.deviance == pytest.approx(1, abs=0.2)
    error = float(value.held_out.std()) / len(value.held_out) ** 0.5
    assert value.held_out_mean == pytest.approx(value.deviance, abs=5 * error)
    assert 0 < value.r_factor < 0.05
    assert law(at.times({"object_": 0.5, "probe": 1.0})).deviance > 100


def test_a_scan_without_photons_has_values_too():
    """As that of which a draw took the only photon."""
    scan, placement, _ = on_device(small_scan(n_positions=2))
    dark = dataclasses.replace(scan, patterns=torch.zeros_like(scan.patterns))
    value = Likelihood(dark, placement, held_out_fraction=0.0)(Estimate(torch.ones(placement.object_shape) + 0j, PROBE))
    assert value.r_factor == 0
    assert value.deviance > 0


def test_values_are_means_over_the_pixels_that_take_part():
    law = WHOLE(held_out_fraction=0.1)
    deviance = poisson_deviance(expected_of(AWAY), SCAN.counts(slice(None)))
    value = law(AWAY)
    used = deviance[SCAN.mask & ~law.held]
    assert len(used) == law.n_used
    assert value.deviance == pytest.approx(float(used.mean()), rel=1e-5)
    held = deviance[law.held]
    assert value.held_out_mean == pytest.approx(float(held.mean()), rel=1e-4)
    torch.testing.assert_close(value.held_out, held, rtol=1e-4, atol=1e-4)
    taken = SCAN.mask & ~law.held
    assert value.objective == pytest.approx(float(half_objective(AWAY, taken)), rel=1e-5)


def test_held_out_pixels_are_trusted_ones_drawn_by_a_seed():
    one, again, other = (WHOLE(held_out_fraction=0.1, seed=seed).held for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not one[:, ~SCAN.mask].any()
    assert float(one[:, SCAN.mask].float().mean()) == pytest.approx(0.1, abs=0.02)


def test_the_curvature_is_that_of_the_deviance_around_the_truth():
    """The second difference of the likelihood of noiseless counts at the truth is the Fisher information."""
    expected = expected_of(TRUTH).numpy().astype(np.float64)
    scan, placement, _ = on_device(dataclasses.replace(ACQUISITION, patterns=expected.astype(np.float32)))
    law = Likelihood(scan, placement, held_out_fraction=0.0, free=("object_", "probe"))
    for direction in (
        Estimate(0.3 * random_complex(TRUTH.object_.shape, 4), torch.zeros_like(PROBE)),
        Estimate(torch.zeros_like(TRUTH.object_), 0.3 * random_complex(PROBE.shape, 5) * PROBE),
        Estimate(0.3 * random_complex(TRUTH.object_.shape, 6), 0.3 * random_complex(PROBE.shape, 7) * PROBE),
    ):
        step = 0.02
        here = law(TRUTH).objective
        around = [law(TRUTH.plus(sign * step, direction)).objective for sign in (1, -1)]
        second = (sum(around) - 2 * here) / step**2
        assert law.curvature(TRUTH, direction) == pytest.approx(second, rel=0.05)


def test_the_curvature_is_never_negative_and_zero_along_a_global_phase():
    law = WHOLE()
    for seed in range(5):
        direction = Estimate(random_complex(TRUTH.object_.shape, seed), random_complex(PROBE.shape, seed + 10))
        assert law.curvature(AWAY, direction) >= 0
    turn = Estimate(1j * AWAY.object_, torch.zeros_like(PROBE))
    along = Estimate(AWAY.object_, torch.zeros_like(PROBE))
    assert law.curvature(AWAY, turn) < 1e-6 * law.curvature(AWAY, along)


def test_the_flux_is_what_measured_and_expected_differ_by():
    law = WHOLE()
    assert law.flux(TRUTH) == pytest.approx(1, rel=0.02)
    assert law.flux(TRUTH.times({"object_": 0.5, "probe": 1.0})) == pytest.approx(4 * law.flux(TRUTH), rel=1e-5)


def test_light_and_transparency_are_diagonals_of_the_forward_model():
    """<x, light x> is what passes a field x of random signs: sum_j |P_j x_j|^2, for probe and object alike."""
    law = WHOLE()
    through = PLACEMENT.place().spread(PROBE) * PLACEMENT.look()(AWAY.object_)[:, None]
    total = inner(through, through).real
    at = Estimate(AWAY.object_, PROBE)
    assert float((law.light(at) * AWAY.object_.abs().square()).sum()) == pytest.approx(total, rel=1e-4)
    still = dataclasses.replace(ACQUISITION, positions=np.round(ACQUISITION.positions))
    scan, placement, _ = on_device(still)
    law = Likelihood(scan, placement, held_out_fraction=0.0, free=("object_", "probe"))
    object_ = random_complex(placement.object_shape, 8)
    through = PROBE * placement.look()(object_)[:, None]
    seen = (law.transparency(Estimate(object_, PROBE)) * PROBE.abs().square()).sum()
    assert float(seen) == pytest.approx(inner(through, through).real, rel=1e-4)


def test_what_masked_pixels_hold_changes_nothing():
    wild = np.where(ACQUISITION.mask, ACQUISITION.patterns, 65_000).astype(ACQUISITION.patterns.dtype)
    scan, placement, _ = on_device(dataclasses.replace(ACQUISITION, patterns=wild))
    one, other = WHOLE()(AWAY), Likelihood(scan, placement, held_out_fraction=0.0, free=("object_", "probe"))(AWAY)
    assert (one.deviance, one.r_factor) == (other.deviance, other.r_factor)
    assert torch.equal(one.gradient.object_, other.gradient.object_)
    assert torch.equal(one.gradient.probe, other.gradient.probe)


def test_estimates_are_vectors():
    a, b = AWAY, Estimate(random_complex(AWAY.object_.shape, 9), random_complex(PROBE.shape, 10))
    assert float(a.dot(b)) == pytest.approx(inner(a.object_, b.object_).real + inner(a.probe, b.probe).real, rel=1e-5)
    assert a.dot(a.plus(-1, a)) == 0
    torch.testing.assert_close(a.plus(2.0, b).probe, a.probe + 2 * b.probe)
    torch.testing.assert_close(a.times(2.0).object_, 2 * a.object_)


def several(seed=20, size=0.1):
    """An estimate with every part away from its plain value."""
    rng = torch.Generator().manual_seed(seed)
    n = len(SCAN)
    return dataclasses.replace(
        AWAY,
        positions=PLACEMENT.positions + size * torch.randn(n, 2, generator=rng, dtype=torch.float64),
        gain=1 + size * torch.randn(n, generator=rng),
        haze=torch.tensor(0.7),
        variations=0.3 * random_complex((2, 32, 32), seed) * PROBE[0].abs().max(),
        weights=size * torch.randn(n, 2, generator=rng),
    )


def along(part, at, seed=30):
    """A direction in one part of an estimate alone."""
    value = at.parts[part]
    rng = torch.Generator().manual_seed(seed)
    draw = random_complex(value.shape, seed) if value.is_complex() else torch.randn(value.shape, generator=rng)
    scale = value.abs().max() if value.is_complex() else 1.0
    return dataclasses.replace(at.times(0.0), **{part: (scale * draw).to(value.dtype)})


def uphill(direction, gradient):
    """Turn every value up its own slope, so that the sum is far above the noise of single precision."""

    def turned(value, slope):
        if value.is_complex():
            return torch.view_as_complex(turned(torch.view_as_real(value), torch.view_as_real(slope)))
        return value.abs() * slope.sign()

    return Estimate(**{name: turned(value, gradient.parts[name]) for name, value in direction.parts.items()})


EVERY = tuple(several().parts)


@pytest.mark.parametrize("part", EVERY)
@pytest.mark.parametrize("held_out_fraction", [0.0, 0.1])
def test_the_gradient_of_every_part_is_that_of_finite_differences(part, held_out_fraction):
    at = several()
    law = WHOLE(free=EVERY, held_out_fraction=held_out_fraction)
    gradient = law(at).gradient
    direction = uphill(along(part, at), gradient)
    slope = float(gradient.dot(direction))
    step = 1e-3
    there, back = (law(at.plus(sign * step, direction)).objective for sign in (1, -1))
    assert (there - back) / (2 * step) == pytest.approx(slope, rel=1e-2)


@pytest.mark.parametrize("part", EVERY)
def test_the_curvature_along_every_part_is_the_second_difference_of_noiseless_counts(part):
    at = several()
    plain = WHOLE(free=EVERY)
    noiseless = torch.cat([plain.expected(at, field) for *_, field in plain.fields(at)])
    law = Likelihood(dataclasses.replace(SCAN, patterns=noiseless), PLACEMENT, held_out_fraction=0.0, free=EVERY)
    direction, step = along(part, at), 0.005 if at.parts[part].is_complex() else 0.02
    around = [law(at.plus(sign * step, direction)).objective for sign in (1, -1)]
    second = (sum(around) - 2 * law(at).objective) / step**2
    assert law.curvature(at, direction) == pytest.approx(second, rel=0.05)


def test_the_stiffness_of_a_flux_is_half_its_curvature():
    whole = dataclasses.replace(ACQUISITION, mask=np.ones_like(ACQUISITION.mask))
    scan, placement, _ = on_device(whole)
    at = dataclasses.replace(several(), haze=None)
    law = Likelihood(scan, placement, held_out_fraction=0.0, free=("gain",))
    one = dataclasses.replace(at.times(0.0), gain=torch.eye(len(SCAN))[3])
    assert float(law.stiffness(at)["gain"][3]) == pytest.approx(law.curvature(at, one) / 2, rel=1e-4)


def test_a_brighter_frame_knows_more_of_its_variation_and_position():
    dark, law = several(), WHOLE(free=EVERY)
    bright = dataclasses.replace(dark, gain=2 * dark.gain)
    before, after = law.stiffness(dark), law.stiffness(bright)
    for part in ("weights", "positions"):
        torch.testing.assert_close(after[part], 4 * before[part], rtol=1e-4, atol=0)


def test_what_is_not_free_has_no_gradient():
    at = several()
    for part in EVERY:
        gradient = WHOLE(free=(part,))(at).gradient
        assert all(bool(value.any()) == (name == part) for name, value in gradient.parts.items()), part


def test_a_position_may_be_cut_anywhere():
    """Where the probe vanishes at the edge, a pixel of the corner is as good as a pixel of the shift."""
    at = several(size=0.0)
    moved = dataclasses.replace(at, positions=at.positions + torch.tensor([0.6, -0.7], dtype=torch.float64))
    margin, _ = place_on_canvas(SCAN.positions, 32, margin=2)
    wide = dataclasses.replace(moved, object_=torch.nn.functional.pad(moved.object_, (2, 2, 2, 2), value=1.0))
    wide = dataclasses.replace(wide, positions=moved.positions + 2, variations=None, weights=None)
    law = Likelihood(SCAN, margin, held_out_fraction=0.0, free=("object_", "positions"))
    assert not torch.equal(law.placement.corners, law.recut(wide.positions).placement.corners)
    assert law.recut(wide.positions)(wide).deviance == pytest.approx(law(wide).deviance, rel=1e-2)


def test_frames_of_a_large_scan_take_turns_with_masks_and_hold_out_no_more_than_is_enough(monkeypatch):
    many = WHOLE(held_out_fraction=0.1)
    monkeypatch.setattr(likelihood_module, "MASK_BYTES", 4 * SCAN.size**2)
    turns = WHOLE(held_out_fraction=0.1)
    assert turns.held.shape == (4, SCAN.size, SCAN.size)
    assert torch.equal(turns.held, many.held[:4])
    rows = slice(2, 7)
    assert torch.equal(turns.pixels(rows).held_out, turns.held[[2, 3, 0, 1, 2]])
    assert turns.part(torch.tensor([5, 1])).pixels(slice(0, 2)).held_out.equal(turns.held[[1, 1]])
    everywhere = turns.pixels(slice(None)).held_out
    assert turns.n_used == int((SCAN.mask & ~everywhere).sum())
    assert len(turns(AWAY).held_out) == int(everywhere.sum())
    monkeypatch.setattr(likelihood_module, "ENOUGH_HELD", 500)
    few = WHOLE(held_out_fraction=0.1).pixels(slice(None)).held_out
    assert 300 < int(few.sum()) < 700
