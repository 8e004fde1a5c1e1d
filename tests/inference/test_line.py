"""Lines of the likelihood whose fields are kept, or not; and the directions that they take."""

import dataclasses

import pytest
import torch

from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import line as line_module
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.line import KeptLine, Line, line_from
from ptycho_torch.inference.quasi_newton import MEMORY, QuasiNewton
from ptycho_torch.physics.forward import place_on_canvas
from tests.laws.contracts import random_complex
from tests.laws.scans import small_scan, truth_on_canvas

ACQUISITION = small_scan(n_positions=12, n_modes=2, n_dead_pixels=40, photons=2e4)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def estimate(device="cpu", **parts):
    truth = truth_on_canvas(ACQUISITION)
    object_ = truth * (1 + 0.1 * random_complex(truth.shape, 0))
    return Estimate(object_.to(device), torch.from_numpy(ACQUISITION.probe).to(device), **parts)


def likelihood(device="cpu", free=("object_",), **choices):
    scan = Scan.of(ACQUISITION, device)
    placement, _ = place_on_canvas(scan.positions, scan.size)
    return Likelihood(scan, placement, held_out_fraction=0.1, free=free, **choices)


def direction_of(at, seed):
    """A direction in the object, and in the background where there is one."""
    zero = at.times(0.0)
    along = random_complex(tuple(at.object_.shape), seed).to(at.object_.device)
    haze = None if at.haze is None else torch.full_like(at.haze, 0.05)
    return dataclasses.replace(zero, object_=0.1 * along, haze=haze)


def assert_same(found, expected):
    (at, value), (other_at, other) = found, expected
    torch.testing.assert_close(at.object_, other_at.object_)
    for name in ("deviance", "held_out_mean", "r_factor", "objective"):
        assert getattr(value, name) == pytest.approx(getattr(other, name), rel=1e-4), name
    for name, part in value.gradient.parts.items():
        theirs = other.gradient.parts[name]
        torch.testing.assert_close(part, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()) + 1e-30, msg=name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("free", [("object_",), ("object_", "haze"), ("haze",)])
def test_a_line_with_kept_fields_is_the_line_without(free, device):
    at = estimate(device, haze=torch.tensor(0.7, device=device) if "haze" in free else None)
    law = likelihood(device, free)
    kept, plain = line_from(law, at), Line(law, at)
    assert isinstance(kept, KeptLine)
    for seed in (1, 2, 3):
        along = direction_of(at, seed)
        if "object_" not in free:
            along = dataclasses.replace(along, object_=torch.zeros_like(along.object_))
        assert kept.curvature(along) == pytest.approx(plain.curvature(along), rel=1e-4)
        for length in (1.0, 0.5):
            assert_same(kept.value(length), plain.value(length))
        at = at.plus(0.5, along)
        kept.go(at)
        plain.go(at)


def test_fields_are_kept_where_no_probe_changes_and_there_is_room(monkeypatch):
    assert not isinstance(line_from(likelihood(free=("object_", "probe")), estimate()), KeptLine)
    monkeypatch.setattr(line_module, "MOST_KEPT", 12 * 32**2 * (4 * 8 * 2 + 4))
    assert isinstance(line_from(likelihood(), estimate()), KeptLine)
    monkeypatch.setattr(line_module, "MOST_KEPT", 12 * 32**2 * (4 * 8 * 2 + 4) - 1)
    assert not isinstance(line_from(likelihood(), estimate()), KeptLine)


def test_an_iteration_of_the_object_needs_one_transform_there_and_one_back(monkeypatch):
    law, at, counted = likelihood(), estimate(), []
    line = line_from(law, at)
    for name in ("fft2", "ifft2"):
        plain = getattr(torch.fft, name)

        def count(x, *args, plain=plain, name=name, **how):
            counted.append((name, x.shape[0]))
            return plain(x, *args, **how)

        monkeypatch.setattr(torch.fft, name, count)
    line.curvature(direction_of(at, 1))
    moved, _ = line.value(0.5)
    line.go(moved)
    assert counted == [("fft2", 12), ("ifft2", 12)]


def test_a_direction_is_that_of_the_two_loops():
    """BFGS's inverse Hessian, written out as a matrix over the numbers of an estimate."""
    start = estimate(positions=torch.rand(12, 2, dtype=torch.float64))
    start = dataclasses.replace(start, object_=start.object_[:6, :5].contiguous(), probe=start.probe[:, :4, :4])
    n = len(start.numbers)
    generator = torch.Generator().manual_seed(1)
    stiffness = 1 + 3 * torch.rand(n, generator=generator)
    mixing = torch.randn(n, n, generator=generator) / n**0.5
    hessian = (torch.diag(stiffness) + mixing @ mixing.T).double()

    def guess(gradient):
        return gradient.of_numbers(gradient.numbers / stiffness)

    newton, pairs = QuasiNewton(guess), []
    here = torch.randn(n, generator=generator)
    for _ in range(MEMORY + 3):
        newton.direction(start.of_numbers(here))
        step = torch.randn(n, generator=generator)
        change = (hessian @ step.double()).float()
        newton.learn(start.of_numbers(step))
        here = here + change
        pairs.append((step.double(), change.double()))
    found = newton.direction(start.of_numbers(here))
    assert len(newton) == MEMORY
    step, change = pairs[-1]
    inverse = torch.diag(1 / stiffness.double())
    inverse *= (step @ change) / (change @ inverse @ change)
    for step, change in pairs[-MEMORY:]:
        turn = torch.eye(n, dtype=torch.float64) - torch.outer(step, change) / (step @ change)
        inverse = turn @ inverse @ turn.T + torch.outer(step, step) / (step @ change)
    assert found.positions.dtype == torch.float64
    torch.testing.assert_close(found.numbers, -(inverse @ here.double()).float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_pairs", [0, 2, MEMORY])
def test_a_pair_along_which_the_objective_is_not_convex_is_not_remembered(n_pairs):
    newton, at = QuasiNewton(lambda gradient: gradient), estimate()
    for k in range(n_pairs):
        step = at.times(0.0).plus(1.0, direction_of(at, k))
        newton.direction(at)
        newton.learn(step)
        at = at.plus(2.0 + k, step)
    newton.direction(at)
    newton.learn(at.times(-1.0))
    newton.direction(at.times(2.0))
    assert len(newton) == min(n_pairs, MEMORY - 1)
    if not n_pairs:
        torch.testing.assert_close(newton.direction(at).object_, -at.object_)


def test_an_estimate_of_its_own_numbers_is_itself():
    at = estimate(
        haze=torch.tensor(0.7), variations=random_complex((1, 32, 32), 4), positions=torch.zeros(12, 2).double()
    )
    for name, part in at.of_numbers(at.numbers).parts.items():
        assert torch.equal(part, at.parts[name]), name
        assert part.dtype == at.parts[name].dtype, name
