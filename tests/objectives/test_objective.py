"""The loss of a batch: masks, weights, and what each term is for."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho_torch.objectives import objective
from ptycho_torch.objectives.amplitude import amplitude_error
from ptycho_torch.objectives.objective import Objective
from ptycho_torch.objectives.poisson import poisson_deviance
from ptycho_torch.objectives.regularisers import mean_deviation, total_variation
from tests.laws.contracts import random_complex

GENERATOR = torch.Generator().manual_seed(0)
EXPECTED = 20 * torch.rand(3, 6, 6, generator=GENERATOR) + 1
MEASURED = torch.poisson(EXPECTED, generator=GENERATOR)
MASK = torch.rand(6, 6, generator=GENERATOR) > 0.2
CANVAS = random_complex((9, 8), 1)
COVERAGE = torch.rand(9, 8, generator=GENERATOR)


def loss(weights, expected=EXPECTED, measured=MEASURED, mask=MASK):
    return float(weights(expected, measured, mask, CANVAS, COVERAGE))


def test_each_term_is_a_mean_over_trusted_pixels():
    def trusted(pixels):
        return float(pixels[:, MASK].mean())

    assert loss(Objective()) == pytest.approx(trusted(poisson_deviance(EXPECTED, MEASURED)) / 2, rel=1e-5)
    amplitude = Objective(poisson=0.0, amplitude=1.0)
    assert loss(amplitude) == pytest.approx(trusted(amplitude_error(EXPECTED, MEASURED)) / 2, rel=1e-5)


def test_terms_add_with_their_weights():
    terms = {
        "poisson": loss(Objective(poisson=1.0)),
        "amplitude": loss(Objective(poisson=0.0, amplitude=1.0)),
        "real_space": float(total_variation(CANVAS, COVERAGE)),
    }
    weights = {"poisson": 0.3, "amplitude": 0.7, "real_space": 2.0}
    whole = sum(weights[name] * terms[name] for name in terms)
    assert loss(Objective(**weights)) == pytest.approx(whole, rel=1e-5)
    whole += 2.0 * 0.5 * float(mean_deviation(CANVAS, COVERAGE))
    assert loss(Objective(**weights, deviation=0.5)) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    "weights", [Objective(), Objective(poisson=0.0, amplitude=1.0), Objective(0.5, 0.5, match_norm=True)]
)
def test_pixels_that_are_not_trusted_say_nothing(weights):
    wild = torch.where(MASK, EXPECTED, 1e4)
    assert loss(weights, expected=wild) == pytest.approx(loss(weights), rel=1e-6)


def test_terms_without_weight_are_not_computed(monkeypatch):
    def forbidden(*_):
        raise AssertionError("computed a term of weight zero")

    names = {
        "summed_deviance": {"poisson": 1.0},
        "amplitude_error": {"amplitude": 1.0},
        "total_variation": {"real_space": 1.0},
        "mean_deviation": {"real_space": 1.0, "deviation": 1.0},
    }
    for name, weights in names.items():
        with monkeypatch.context() as patch:
            patch.setattr(objective, name, forbidden)
            others = {"poisson": 1.0, "amplitude": 1.0, "real_space": 1.0, "deviation": 1.0}
            loss(Objective(**(others | dict.fromkeys(weights, 0.0))))
            with pytest.raises(AssertionError, match="weight zero"):
                loss(Objective(**({"poisson": 0.0} | weights)))


@given(factors=st.lists(st.floats(1e-2, 1e2), min_size=3, max_size=3))
def test_a_matched_norm_does_not_see_how_bright_a_pattern_is(factors):
    weights = Objective(poisson=0.0, amplitude=1.0, match_norm=True)
    scaled = EXPECTED * torch.tensor(factors)[:, None, None]
    assert loss(weights, expected=scaled) == pytest.approx(loss(weights), rel=1e-4)
    unmatched = dataclasses.replace(weights, match_norm=False)
    assert loss(unmatched, expected=100 * EXPECTED) > 2 * loss(unmatched)


def test_regularisers_leave_constant_objects_alone_and_hear_all_others():
    constant = torch.full((9, 8), 0.7 - 0.4j, dtype=torch.complex64)
    for regulariser in (total_variation, mean_deviation):
        assert float(regulariser(constant, COVERAGE)) == pytest.approx(0, abs=1e-6)
        assert float(regulariser(CANVAS, COVERAGE)) > 0.1
        turned = CANVAS * torch.polar(torch.tensor(1.0), torch.tensor(0.9))
        torch.testing.assert_close(regulariser(turned, COVERAGE), regulariser(CANVAS, COVERAGE))
        torch.testing.assert_close(regulariser(3 * CANVAS, COVERAGE), 3 * regulariser(CANVAS, COVERAGE))
        torch.testing.assert_close(regulariser(CANVAS, 5 * COVERAGE), regulariser(CANVAS, COVERAGE))


def test_regularisers_do_not_hear_what_no_light_reached():
    half = COVERAGE.clone()
    half[:, 4:] = 0
    wild = CANVAS.clone()
    wild[:, 4:] = 50 * random_complex((9, 4), 3)
    for regulariser in (total_variation, mean_deviation):
        torch.testing.assert_close(regulariser(wild, half), regulariser(CANVAS, half))


def test_total_variation_of_a_ramp_is_its_slope():
    ramp = (0.25 * torch.arange(8)).to(torch.complex64).expand(9, 8)
    even = torch.ones(9, 8)
    # Eight columns have seven steps between them.
    assert float(total_variation(ramp, even)) == pytest.approx(0.25 * 7 / 8)
