"""The error of exit waves: where it is zero, what it does not see, how it leans."""

import pytest
import torch

from ptycho_torch.objectives.exit_waves import exit_wave_error
from tests.laws.contracts import random_complex

SHAPE = (3, 2, 6, 6)
KNOWN = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(5)) < 0.7


def waves(seed):
    return random_complex(SHAPE, seed, torch.complex128)


def error(one, other, known=KNOWN):
    return float(exit_wave_error(one, other, known))


def test_it_is_zero_at_the_truth_and_one_for_an_empty_patch():
    assert error(waves(0), waves(0)) == 0
    assert error(torch.zeros_like(waves(0)), waves(0)) == pytest.approx(1)
    assert error(1.1 * waves(0), waves(0)) == pytest.approx(0.01)


def test_it_is_the_weighted_error_of_the_patches():
    """P O and P O_true differ by |P|^2 |O - O_true|^2: light is the weight, modes add."""
    probe, patches, truth = random_complex((1, 2, 6, 6), 1), random_complex((3, 6, 6), 2), random_complex((3, 6, 6), 3)
    light = probe.abs().square().sum(dim=1) * KNOWN
    expected = (light * (patches - truth).abs().square()).sum() / (light * truth.abs().square()).sum()
    found = error(probe * patches[:, None], probe * truth[:, None])
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_neither_the_dose_nor_a_common_factor_matters():
    turned = torch.polar(torch.tensor(30.0, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64))
    assert error(turned * waves(0), turned * waves(1)) == pytest.approx(error(waves(0), waves(1)), rel=1e-12)


def test_what_is_not_known_costs_nothing():
    spoilt = torch.where(KNOWN[:, None], waves(1), 1e3 * waves(2))
    assert error(waves(0), spoilt) == pytest.approx(error(waves(0), waves(1)), rel=1e-12)
    assert error(torch.where(KNOWN[:, None], waves(0), 1e3), waves(1)) == pytest.approx(error(waves(0), waves(1)))
    assert error(waves(0), waves(1), torch.zeros_like(KNOWN)) == 0


def test_its_gradient_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(lambda at: exit_wave_error(at, waves(1), KNOWN), waves(0).requires_grad_())
