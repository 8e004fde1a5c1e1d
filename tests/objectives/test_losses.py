"""The losses pixel by pixel: where they are least, how they lean, how large they are for the truth."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from ptycho_torch.objectives.amplitude import amplitude_error
from ptycho_torch.objectives.poisson import FLOOR, poisson_deviance, poisson_nll
from ptycho_torch.objectives.poisson import tempered_deviance as tempered

COUNTS = st.integers(0, 10**6)
EXPECTED = st.floats(1e-3, 1e6)


def tempered_deviance(expected, measured):
    return tempered(expected, measured)[0]


def pixel(value):
    return torch.full((1, 1), value, dtype=torch.float64)


@given(expected=EXPECTED, measured=COUNTS)
def test_the_deviance_is_never_negative_and_zero_for_a_perfect_model(expected, measured):
    assert float(poisson_deviance(pixel(expected), pixel(measured))) >= -1e-9 * (measured + 1)
    if measured:
        assert float(poisson_deviance(pixel(measured), pixel(measured))) == 0


@given(measured=st.integers(1, 10**6), factor=st.floats(1.01, 100))
@pytest.mark.parametrize("loss", [poisson_nll, poisson_deviance, tempered_deviance, amplitude_error])
def test_losses_are_least_at_the_measurement(loss, measured, factor):
    best = float(loss(pixel(measured), pixel(measured)))
    assert float(loss(pixel(measured * factor), pixel(measured))) > best
    assert float(loss(pixel(measured / factor), pixel(measured))) > best


@given(measured=COUNTS, one=EXPECTED, other=EXPECTED)
def test_deviance_and_likelihood_differ_by_a_constant_of_the_measurement(measured, one, other):
    def difference(expected):
        return float(
            poisson_deviance(pixel(expected), pixel(measured)) / 2 - poisson_nll(pixel(expected), pixel(measured))
        )

    assert difference(one) == pytest.approx(difference(other), rel=1e-9, abs=1e-9 * max(one, other, measured * 20))


@pytest.mark.parametrize("loss", [poisson_nll, poisson_deviance, tempered_deviance, amplitude_error])
def test_gradients_are_those_of_finite_differences(loss):
    generator = torch.Generator().manual_seed(0)
    expected = (torch.rand(4, 5, generator=generator, dtype=torch.float64) * 20 + 0.1).requires_grad_()
    measured = torch.poisson(expected.detach(), generator=generator)
    assert torch.autograd.gradcheck(lambda at: loss(at, measured), expected)


@pytest.mark.parametrize("loss", [poisson_nll, poisson_deviance, tempered_deviance, amplitude_error])
def test_nothing_measured_and_nothing_expected_stay_finite(loss):
    expected = torch.tensor([[0.0, 0.0, FLOOR / 2, 3.0]], requires_grad=True)
    measured = torch.tensor([[0.0, 5.0, 1.0, 0.0]])
    value = loss(expected, measured)
    value.sum().backward()
    assert value.isfinite().all()
    assert expected.grad.isfinite().all()
    assert float(value.detach()[0, 0]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("level", [10.0, 100.0, 1e4])
@pytest.mark.parametrize("loss", [amplitude_error, poisson_deviance, tempered_deviance])
def test_the_truth_costs_about_one_a_pixel(loss, level):
    generator = torch.Generator().manual_seed(1)
    expected = torch.full((200, 200), level, dtype=torch.float64)
    measured = torch.poisson(expected, generator=generator)
    # Both have unit variance up to terms of 1 / counts; the mean of 4e4 pixels scatters by sqrt(2 / 4e4).
    assert float(loss(expected, measured).mean()) == pytest.approx(1, abs=5 * (2 / 4e4) ** 0.5 + 0.3 / level)


@pytest.mark.parametrize("counts", [1e3, 1e5, 1e7])
def test_the_deviance_of_many_counts_is_not_lost_to_rounding(counts):
    """n log(n) - n log(lambda) in single precision scatters by the last digit of n log(n), which is counts."""
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.full((1, 1, 1000), counts)
    measured = (counts + counts**0.5 * noise)[None, None].float()
    exact = poisson_deviance(expected.double(), measured.double())
    torch.testing.assert_close(poisson_deviance(expected, measured).double(), exact, rtol=2e-3, atol=2e-3)
    missing = measured.double() - counts
    torch.testing.assert_close(exact, missing.square() / counts, rtol=0.2, atol=1e-2)


@pytest.mark.parametrize("measured", [0.0, 1e-4, 1.0, 1e5])
@pytest.mark.parametrize("expected", [1e-5, 0.3, 1e5])
def test_the_deviance_leans_as_one_minus_measured_over_expected(expected, measured):
    counts = torch.tensor([[expected]], requires_grad=True)
    found = poisson_deviance(counts, torch.tensor([[measured]]))
    found.sum().backward()
    assert counts.grad.item() == pytest.approx(2 * (1 - measured / expected), rel=1e-4)
    far = expected if measured == 0 else expected - measured + measured * math.log(measured / expected)
    assert found.item() == pytest.approx(2 * far, rel=1e-4, abs=1e-4)


def differs(measured, expected):
    """Whether the tempered deviance is another than the deviance."""
    one, other = (float(loss(pixel(expected), pixel(measured))) for loss in (tempered_deviance, poisson_deviance))
    return abs(one - other) > 1e-6 * (1 + other)


@given(measured=COUNTS, expected=EXPECTED)
def test_only_counts_that_are_hardly_possible_are_tempered(measured, expected):
    if differs(measured, expected):
        fewer, more = poisson.cdf(measured, expected), poisson.sf(measured - 1, expected)
        assert min(fewer, more) < 1 / 40


@pytest.mark.parametrize("measured", [0.0, 1.0, 4.0, 1e4])
@pytest.mark.parametrize("far", ["few", "many"])
def test_counts_that_are_hardly_possible_cost_a_parabola_of_the_amplitude(measured, far):
    root = measured**0.5
    amplitudes = root + torch.tensor([5.0, 6.0, 7.0]) if far == "few" else root * torch.tensor([0.02, 0.05, 0.08])
    if not amplitudes.any():
        return  # of no counts there are never too many
    amplitudes = amplitudes.double()[None]
    cost = tempered_deviance(amplitudes.square(), torch.full((1, 3), measured, dtype=torch.float64))
    gap = float(amplitudes.diff()[0, 0])
    assert float(cost.diff(n=2)) / gap**2 == pytest.approx(8, rel=1e-3)


def test_the_tempered_slope_is_half_the_derivative():
    generator = torch.Generator().manual_seed(0)
    expected = (torch.rand(1, 400, generator=generator, dtype=torch.float64) * 60).requires_grad_()
    measured = torch.poisson(expected.detach()[:, torch.randperm(400, generator=generator)], generator=generator)
    found = tempered_deviance(expected, measured)
    assert (found - poisson_deviance(expected, measured)).abs().gt(1).sum() > 50
    found.sum().backward()
    torch.testing.assert_close(tempered(expected, measured)[1].detach(), expected.grad / 2)
    far = torch.tensor([[0.0, 1e-9, 1e8]]), torch.tensor([[3.0, 0.0, 0.0]])
    assert tempered(*far)[1].isfinite().all()
