"""What a pattern says of its patch at first sight."""

import itertools

import pytest
import torch

from ptycho_torch.physics.backprojection import BackProjection, ResidualProjection, damped
from ptycho_torch.physics.forward import detector, probe_weight
from tests.laws.contracts import random_complex
from tests.laws.scans import small_scan

PROBE = torch.from_numpy(small_scan(n_modes=2).probe)


def counts_of(patches, probe=PROBE):
    return detector(probe[None])(patches)


@pytest.mark.parametrize("probe", [PROBE, PROBE[:1], random_complex((3, 32, 32), 0)], ids=["two", "one", "noise"])
def test_nothing_in_the_beam_says_nothing(probe):
    nothing = torch.ones(2, 32, 32, dtype=torch.complex64)
    assert BackProjection(probe)(counts_of(nothing, probe)).abs().max() < 1e-4


def test_the_unit_of_counts_does_not_matter():
    patches = 1 + 0.3 * random_complex((2, 32, 32), 1)
    first = BackProjection(PROBE)(counts_of(patches))
    other = BackProjection(0.01 * PROBE)(counts_of(patches, 0.01 * PROBE))
    torch.testing.assert_close(other, first, rtol=1e-3, atol=1e-5)


def test_modes_may_be_turned_and_exchanged():
    patches = 1 + 0.3 * random_complex((2, 32, 32), 2)
    measured = counts_of(patches)
    turned = PROBE.flip(0) * torch.polar(torch.ones(2), torch.tensor([0.4, -2.0]))[:, None, None]
    torch.testing.assert_close(BackProjection(turned)(measured), BackProjection(PROBE)(measured), rtol=1e-3, atol=1e-5)


def test_a_step_along_it_explains_the_pattern_better():
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    bump = torch.exp(-((rows - 14) ** 2 + (columns - 19) ** 2) / 20)
    patches = torch.polar(1 - 0.3 * bump, 0.4 * bump)[None]
    measured = counts_of(patches)
    nothing = torch.ones_like(patches)
    said = BackProjection(PROBE)(measured)

    def misfit(at):
        return float((counts_of(at).sqrt() - measured.sqrt()).square().sum())

    assert misfit(nothing + said) < 0.7 * misfit(nothing)
    light = probe_weight(PROBE)
    towards = ((said * (patches - nothing).conj()).real * light).sum()
    assert float(towards) > 0, "it points from nothing to the object"


def own_probes(n):
    return PROBE.expand(n, *PROBE.shape)


def step(residual, probe=PROBE):
    light = probe_weight(probe)[None]
    return residual / damped(light, light.amax(dim=(1, 2), keepdim=True))


def test_beside_nothing_it_is_the_back_projection():
    """Of a probe that lights the whole detector: where less than a thousandth of a count is expected, less is said."""
    probe = 30 * random_complex((2, 32, 32), 7)
    counts = counts_of(1 + 0.3 * random_complex((3, 32, 32), 3), probe)
    nothing = torch.ones(3, 32, 32, dtype=torch.complex64)
    found = step(ResidualProjection(probe.expand(3, 2, 32, 32), counts)(nothing), probe)
    torch.testing.assert_close(found, BackProjection(probe)(counts), rtol=1e-3, atol=1e-4)


def test_patches_that_explain_their_patterns_leave_no_residual():
    patches = 1 + 0.3 * random_complex((2, 32, 32), 4)
    assert step(ResidualProjection(own_probes(2), counts_of(patches))(patches)).abs().max() < 1e-4


def test_pixels_that_cannot_be_trusted_ask_for_nothing():
    counts = counts_of(1 + 0.3 * random_complex((2, 32, 32), 5))
    mask = torch.ones(32, 32, dtype=torch.bool)
    mask[10:20, 14] = False
    nothing = torch.ones(2, 32, 32, dtype=torch.complex64)
    first, other = (
        ResidualProjection(own_probes(2), torch.where(mask, counts, blind), mask)(nothing) for blind in (0, 1e6)
    )
    assert torch.equal(first, other)
    assert not torch.equal(first, ResidualProjection(own_probes(2), counts)(nothing))


def test_steps_along_the_residual_explain_the_pattern_better_and_better():
    truth = 1 + 0.3 * random_complex((2, 32, 32), 6)
    counts = counts_of(truth)
    residual = ResidualProjection(own_probes(2), counts)
    at, misfits = torch.ones_like(truth), []
    for _ in range(4):
        misfits.append(float((counts_of(at).sqrt() - counts.sqrt()).square().sum()))
        at = at + step(residual(at))
    assert all(after < before for before, after in itertools.pairwise(misfits)), misfits


def test_the_gradient_is_finite_where_nothing_is_expected():
    patches = torch.zeros(1, 32, 32, dtype=torch.complex64, requires_grad=True)
    ResidualProjection(own_probes(1), torch.ones(1, 32, 32))(patches).abs().square().sum().backward()
    assert patches.grad.isfinite().all()
