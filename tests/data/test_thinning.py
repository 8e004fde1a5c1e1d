"""One measurement becomes two that share its mean and none of its noise."""

import pytest
import torch

from ptycho_torch.data.thinning import RegionThinning, Thinning

N = 200_000


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("mean", [0.2, 3.0, 400.0, 1e6])
def test_parts_of_a_poisson_variable_are_poisson_and_independent(mean, share):
    """Means and variances of both parts, and no correlation, each within five standard errors of N draws."""
    counts = torch.poisson(torch.full((1, N, 1), mean), generator=rng(1))
    parts = [part.double() for part in Thinning(share, rng(2))(counts)]
    for part, wanted in zip(parts, ((1 - share) * mean, share * mean), strict=True):
        assert float(part.mean()) == pytest.approx(wanted, abs=5 * (wanted / N) ** 0.5)
        # Variance of a sample variance: mu_4 - sigma^4 = lambda + 2 lambda^2 for a Poisson variable.
        assert float(part.var()) == pytest.approx(wanted, abs=5 * ((wanted + 2 * wanted**2) / N) ** 0.5)
    shown, kept = ((part - part.mean()) / part.std() for part in parts)
    assert abs(float((shown * kept).mean())) < 5 / N**0.5


def test_no_count_is_lost_and_none_is_made():
    counts = torch.poisson(torch.logspace(-2, 6, 4096).view(1, 64, 64), generator=rng())
    shown, kept = Thinning(0.3, rng())(counts)
    assert torch.equal(shown + kept, counts)
    assert shown.min() >= 0
    assert kept.min() >= 0


def test_counts_that_rounding_has_moved_are_whole_again():
    counts = torch.poisson(torch.full((1, 8, 8), 40.0), generator=rng())
    moved = (counts.sqrt() / 7 * 7).square()
    assert not torch.equal(moved, counts)
    assert torch.equal(sum(Thinning(0.5, rng())(moved)), counts)


def test_what_draws_decides_the_parts():
    counts = torch.full((2, 16, 16), 9.0)
    first, again, other = (Thinning(0.4, rng(seed))(counts)[1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_region_is_split_alike_whoever_splits_it():
    counts = torch.full((12, 5, 5), 100.0)
    thin = RegionThinning(0.4, torch.device("cpu"))

    def split(seeds, part):
        thin.seed(seeds)
        return thin(part)

    shown, kept = split([7, 8, 9], counts)
    assert torch.equal(shown + kept, counts)
    assert not torch.equal(kept[:4], kept[4:8])
    assert all(torch.equal(part, all_[8:]) for part, all_ in zip(split([9], counts[8:]), (shown, kept), strict=True))
    assert all(torch.equal(*both) for both in zip(split([7, 8, 9], counts), (shown, kept), strict=True))
