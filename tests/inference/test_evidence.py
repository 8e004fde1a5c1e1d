"""What a scan says of an estimate, held against Monte Carlo."""

import dataclasses

import numpy as np
import pytest
import torch

from ptycho.config.refinement import Refinement
from ptycho_torch.inference import likelihood as likelihood_module
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.evidence import evidence, worst_frames
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.refine import refine
from ptycho_torch.objectives.poisson import poisson_deviance
from ptycho_torch.physics.forward import detector
from tests.laws.scans import on_device, small_scan, truth_on_canvas

ACQUISITION = small_scan(n_positions=12, n_modes=2, n_dead_pixels=300, photons=1e5)
SCAN, PLACEMENT, _ = on_device(ACQUISITION)
TRUTH = Estimate(truth_on_canvas(ACQUISITION), torch.from_numpy(ACQUISITION.probe))


def likelihood(scan=SCAN, **choices):
    return Likelihood(scan, PLACEMENT, held_out_fraction=0.0, **choices)


def expected():
    return detector(PLACEMENT.place().spread(TRUTH.probe))(PLACEMENT.look()(TRUTH.object_))


def draws(n, counts, seed=0):
    """Scans of the same object with other noise."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        patterns = rng.poisson(counts).astype(np.uint32)
        yield dataclasses.replace(SCAN, patterns=torch.from_numpy(patterns.view(np.int32)))


def score(scan):
    """Slope of minus the log likelihood at the true object."""
    object_ = TRUTH.object_.clone().requires_grad_()
    counts = detector(PLACEMENT.place().spread(TRUTH.probe))(PLACEMENT.look()(object_))
    (poisson_deviance(counts, scan.counts(slice(None))) / 2 * SCAN.mask).sum().backward()
    return object_.grad


def test_the_information_is_the_variance_of_the_score():
    """E|d log L / da + i d log L / db|^2 is the trace of the Fisher block of a pixel, four times the information."""
    counts = expected().numpy().astype(np.float64)
    n = 400
    squares = sum(score(scan).abs().square() for scan in draws(n, counts)) / n
    found = evidence(likelihood(), TRUTH).information
    lit = found > 0.1 * found.max()
    ratio = squares[lit] / (4 * found[lit])
    # Each pixel's mean of n squares of a complex normal number scatters by 1 / sqrt(n) or a little more.
    assert float(ratio.mean()) == pytest.approx(1, abs=0.01)
    assert float((ratio - 1).abs().max()) < 6 / n**0.5
    assert float(found[lit].sum()) < 0.9 * float(likelihood().light(TRUTH)[lit].sum()), "dead pixels know nothing"


def test_one_mode_on_a_whole_detector_knows_what_light_fell():
    whole = small_scan(n_positions=12, photons=1e5)
    scan, placement, _ = on_device(whole)
    law = Likelihood(scan, placement, held_out_fraction=0.0)
    at = Estimate(truth_on_canvas(whole), torch.from_numpy(whole.probe))
    found, light = evidence(law, at).information, law.light(at)
    lit = light > 1e-3 * light.max()
    torch.testing.assert_close(found[lit], light[lit], rtol=0.01, atol=0)


def test_no_solution_scatters_less_than_the_information_allows():
    """Likelihood solutions from other noise: their variance is above 1 / information, and not far above it.

    Counts are plenty: where most pixels are empty the likelihood solution is biased and may scatter less.
    """
    crowded = small_scan(n_positions=16, photons=1e7, overlap=0.8)
    scan, placement, _ = on_device(crowded)
    at = Estimate(truth_on_canvas(crowded), torch.from_numpy(crowded.probe))
    law = Likelihood(scan, placement, held_out_fraction=0.0)
    information = evidence(law, at).information
    counts = detector(placement.place().spread(at.probe))(placement.look()(at.object_)).numpy().astype(np.float64)
    rng = np.random.default_rng(1)
    solved = []
    for _ in range(6):
        noisy = dataclasses.replace(scan, patterns=torch.from_numpy(rng.poisson(counts).astype(np.int32)))
        solved.append(refine(at, noisy, placement, Refinement(30), held_out_fraction=0.0).at.object_)
    lit = information > 0.3 * information.max()
    variance = torch.stack(solved).var(dim=0)[lit]
    ratio = float((variance * information[lit]).mean())
    assert 1 <= ratio < 1.5


def test_frames_of_the_model_itself_score_like_normal_numbers():
    counts = expected().numpy().astype(np.float64)
    z = torch.cat([evidence(likelihood(scan), TRUTH).z for scan in draws(30, counts, seed=3)])
    assert float(z.mean()) == pytest.approx(0, abs=4 / len(z) ** 0.5)
    assert float(z.std()) == pytest.approx(1, abs=0.12)


def test_a_frame_that_does_not_belong_is_the_worst():
    order = torch.arange(len(SCAN))
    order[[3, 8]] = order[[8, 3]]
    found = evidence(likelihood(dataclasses.replace(SCAN, patterns=SCAN.patterns[order])), TRUTH)
    assert set(found.z.argsort(descending=True)[:2].tolist()) == {3, 8}
    assert found.z[[3, 8]].min() > 20


def test_deviances_are_means_over_trusted_pixels_and_worst_frames_are_shown_as_they_are(monkeypatch):
    monkeypatch.setitem(likelihood_module.CHUNK_BYTES, "cpu", 5 * 8 * 32**2)
    law = likelihood()
    found = evidence(law, TRUTH)
    deviance = poisson_deviance(expected(), SCAN.counts(slice(None)))[:, SCAN.mask].double().mean(dim=1)
    torch.testing.assert_close(found.deviance, deviance, rtol=1e-5, atol=0)
    worst = worst_frames(law, TRUTH, found.z)
    assert worst.indices[0] == found.z.argmax()
    assert len(worst.indices) == 6
    np.testing.assert_array_equal(worst.measured, SCAN.counts(torch.from_numpy(worst.indices)).numpy())
    np.testing.assert_allclose(worst.expected, (expected() * SCAN.mask)[worst.indices].numpy(), rtol=1e-4, atol=1e-4)


def test_some_frames_are_judged_as_if_they_were_the_scan():
    some = torch.tensor([1, 4, 5])
    part = evidence(likelihood(frames=some), TRUTH)
    torch.testing.assert_close(part.z, evidence(likelihood(), TRUTH).z[some], rtol=1e-4, atol=1e-4)
    one, other = (
        likelihood(frames=some)(TRUTH),
        Likelihood(
            dataclasses.replace(SCAN, patterns=SCAN.patterns[some], positions=SCAN.positions[some]),
            PLACEMENT.part(some),
            held_out_fraction=0.0,
        )(TRUTH),
    )
    assert one.deviance == pytest.approx(other.deviance, rel=1e-6)
    torch.testing.assert_close(one.gradient.object_, other.gradient.object_)
