"""Counts that iterations don't see end them, and say whether they made anything better."""

import pytest
import torch

from ptycho.config.refinement import Refinement
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.prior import edge_preserving
from ptycho_torch.inference.refine import refine
from ptycho_torch.inference.stopping import PATIENCE, Stopping, paired
from tests.laws.scans import on_device, small_scan, truth_on_canvas

N_PIXELS = 4000


def curve(means, noise=0.01, seed=0):
    """Deviances that spread by 1 from pixel to pixel, the same for all iterates, plus the mean and little noise."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.randn(N_PIXELS, generator=generator)
    return [spread + mean + noise * torch.randn(N_PIXELS, generator=generator) for mean in means]


def best_and_end(deviances):
    stopping, best = Stopping(deviances[0]), 0
    for iteration, deviance in enumerate(deviances[1:], start=1):
        best = iteration if stopping.is_as_good(deviance) else best
        if stopping.ended:
            return best, iteration
    return best, None


def test_a_valley_ends_soon_after_its_bottom_though_each_mean_is_uncertain():
    means = [1.0, 0.99, 0.985, 0.983, 0.984, 0.986, 0.988, 0.99, 0.992]
    assert best_and_end(curve(means)) == (3, 3 + PATIENCE)
    # The standard error of each mean, 1 / sqrt(4000), is larger than all of the valley.
    assert max(means) - min(means) < 1.1 / N_PIXELS**0.5 + 0.0015


def test_iterates_that_only_get_worse_leave_the_start():
    assert best_and_end(curve([1.0, 1.001, 1.002, 1.003, 1.004])) == (0, PATIENCE)


def test_a_curve_that_falls_goes_on():
    assert best_and_end(curve([1 - 0.001 * i for i in range(30)])) == (29, None)


def test_what_is_not_clearly_worse_ends_nothing():
    _, end = best_and_end(curve([1.0] + [1.0 + 1e-6] * 60, noise=0.0))
    assert end is None or end > 0
    stopping = Stopping(curve([1.0])[0])
    worse = curve([1.0, 1.01])[1]
    assert [stopping.is_as_good(worse), stopping.is_as_good(worse), stopping.ended] == [False, False, False]
    stopping.wait()
    assert [stopping.is_as_good(worse), stopping.is_as_good(worse), stopping.ended] == [False, False, False]


def test_without_held_out_pixels_the_last_is_the_best():
    assert best_and_end([torch.zeros(0)] * 9) == (8, None)


def test_pixels_judge_again_after_iterations_that_they_did_not_judge():
    stopping = Stopping(torch.zeros(0))
    worse = curve([1.0, 1.01])
    assert [stopping.is_as_good(worse[0]), stopping.is_as_good(worse[1])] == [True, False]
    assert stopping.is_as_good(torch.zeros(0))
    assert stopping.is_as_good(worse[1])


def test_paired_differences_have_the_standard_error_of_their_mean():
    before, after = torch.tensor([3.0, 5.0, 4.0]), torch.tensor([1.0, 4.0, 4.0])
    assert paired(before, after) == pytest.approx((1.0, 1.0 / 3**0.5))


def test_where_iterations_can_only_harm_the_start_comes_back():
    acquisition = small_scan(photons=300.0, n_positions=100)
    scan, placement, _ = on_device(acquisition)
    truth = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe))
    found = refine(truth, scan, placement, Refinement(30), held_out_fraction=0.1)
    assert torch.equal(found.at.object_, truth.object_)
    assert found.stopped_early
    assert len(found.history["deviance"]) <= 1 + 2 * PATIENCE


def test_with_a_prior_pixels_that_the_start_may_have_seen_end_nothing():
    acquisition = small_scan(photons=300.0, n_positions=100)
    scan, placement, _ = on_device(acquisition)
    start = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe))
    seen = refine(start, scan, placement, Refinement(12), held_out_fraction=0.0).at
    light = Likelihood(scan, placement, held_out_fraction=0.0).light(seen)
    found = refine(
        *(seen, scan, placement, Refinement(12)), prior=edge_preserving(1.0, light, seen.object_), held_out_fraction=0.1
    )
    assert not found.stopped_early
    assert len(found.history["deviance"]) == 13
    assert found.history["held_out_deviance"][-1] > 1.1 * found.history["held_out_deviance"][0]
    assert not torch.equal(found.at.object_, seen.object_)


def test_split_counts_add_up_and_have_their_shares():
    scan, *_ = on_device(small_scan(photons=1e5, n_dead_pixels=10))
    first, second = scan.split(0.1)
    everything = slice(None)
    assert torch.equal(first.counts(everything) + second.counts(everything), scan.counts(everything))
    total, part = (float(one.counts(everything).sum()) for one in (scan, second))
    assert part / total == pytest.approx(0.1, abs=5 * (0.09 / total) ** 0.5)
    some = scan.split(0.1, torch.tensor([5, 2]))
    assert torch.equal(some[0].counts(everything) + some[1].counts(everything), scan.counts(torch.tensor([5, 2])))
    assert torch.equal(some[1].positions, scan.positions[[5, 2]])
    again, other = scan.split(0.1)[1], scan.split(0.1, seed=1)[1]
    assert torch.equal(again.patterns, second.patterns)
    assert not torch.equal(other.patterns, second.patterns)


def test_split_counts_know_nothing_of_each_others_noise():
    mean = torch.full((400, 32, 32), 5.0)
    counts = torch.poisson(mean, generator=torch.Generator().manual_seed(0))
    scan = Scan(counts, torch.zeros(400, 2, dtype=torch.float64), torch.ones(32, 32, dtype=torch.bool), None)
    first, second = (part.patterns.flatten() for part in scan.split(0.3))
    n = mean.numel()
    for part, share in ((first, 0.7), (second, 0.3)):
        assert float(part.var() / part.mean()) == pytest.approx(1, abs=5 * (2 / n) ** 0.5)
        assert float(part.mean()) == pytest.approx(5 * share, abs=5 * (5 * share / n) ** 0.5)
    assert float(torch.corrcoef(torch.stack([first, second]))[0, 1]) == pytest.approx(0, abs=5 / n**0.5)


def test_an_estimate_that_is_exposed_less_expects_less_counts():
    acquisition = small_scan(background=0.5)
    scan, placement, _ = on_device(acquisition)
    at = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe), haze=torch.tensor(0.7))
    law = Likelihood(scan, placement, held_out_fraction=0.0)
    counts = [torch.cat([law.expected(dim, field) for *_, field in law.fields(dim)]) for dim in (at, at.exposed(0.25))]
    torch.testing.assert_close(counts[1], counts[0] / 4)
