"""What a pattern says of its patch at first sight."""

import pytest
import torch

from ptycho_torch.physics.backprojection import BackProjection
from ptycho_torch.physics.forward import detector, probe_weight
from tests.laws.contracts import random_complex
from tests.laws.scans import small_scan

PROBE = torch.from_numpy(small_scan(n_modes=2).probe)


def amplitude_of(patches, probe=PROBE):
    return detector(probe[None])(patches).sqrt()


@pytest.mark.parametrize("probe", [PROBE, PROBE[:1], random_complex((3, 32, 32), 0)], ids=["two", "one", "noise"])
def test_nothing_in_the_beam_says_nothing(probe):
    nothing = torch.ones(2, 32, 32, dtype=torch.complex64)
    assert BackProjection(probe)(amplitude_of(nothing, probe)).abs().max() < 1e-4


def test_the_unit_of_counts_does_not_matter():
    patches = 1 + 0.3 * random_complex((2, 32, 32), 1)
    first = BackProjection(PROBE)(amplitude_of(patches))
    other = BackProjection(0.01 * PROBE)(amplitude_of(patches, 0.01 * PROBE))
    torch.testing.assert_close(other, first, rtol=1e-3, atol=1e-5)


def test_modes_may_be_turned_and_exchanged():
    patches = 1 + 0.3 * random_complex((2, 32, 32), 2)
    measured = amplitude_of(patches)
    turned = PROBE.flip(0) * torch.polar(torch.ones(2), torch.tensor([0.4, -2.0]))[:, None, None]
    torch.testing.assert_close(BackProjection(turned)(measured), BackProjection(PROBE)(measured), rtol=1e-3, atol=1e-5)


def test_a_step_along_it_explains_the_pattern_better():
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    bump = torch.exp(-((rows - 14) ** 2 + (columns - 19) ** 2) / 20)
    patches = torch.polar(1 - 0.3 * bump, 0.4 * bump)[None]
    measured = amplitude_of(patches)
    nothing = torch.ones_like(patches)
    said = BackProjection(PROBE)(measured)

    def misfit(at):
        return float((amplitude_of(at) - measured).square().sum())

    assert misfit(nothing + said) < 0.7 * misfit(nothing)
    light = probe_weight(PROBE)
    towards = ((said * (patches - nothing).conj()).real * light).sum()
    assert float(towards) > 0, "it points from nothing to the object"
