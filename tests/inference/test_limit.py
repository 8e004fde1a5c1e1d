"""The shot-noise limit, held against a dense Fisher matrix of another forward model and against Monte Carlo."""

import dataclasses

import numpy as np
import pytest
import torch

from ptycho.base.errors import DataError
from ptycho.metrics.frc import fourier_ring_correlation
from ptycho.metrics.summary import compare
from ptycho.simulation.simulate import expected_counts
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.limit import Fisher, inner, shot_noise_limit
from ptycho_torch.inference.reconstruct import maximum_likelihood
from ptycho_torch.physics.forward import place_on_canvas
from tests.laws.scans import on_device, small_scan, truth_on_canvas

TINY = small_scan(N=16, n_positions=9, n_modes=2, n_dead_pixels=20, photons=1e5, overlap=0.8)
BACKGROUND = 3.0
CPU = torch.device("cpu")


def fisher_of(acquisition, background=0.0):
    scan, placement, _ = on_device(acquisition)
    haze = torch.tensor(background**0.5)
    at = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe), haze=haze)
    return Fisher(Likelihood(scan, placement, held_out_fraction=0.0), at)


def dense(acquisition, fisher, background):
    """The Fisher matrix of the pixels on the support, (real parts, imaginary parts), by the NumPy forward model."""
    _, _, origin = on_device(acquisition)
    positions = acquisition.positions - origin.numpy()
    object_ = fisher.at.object_.numpy()

    def counts(field):
        return (expected_counts(field, acquisition.probe, positions) + background)[:, acquisition.mask].ravel()

    columns = []
    for unit in (1, 1j):
        for pixel in np.flatnonzero(fisher.support.numpy()):
            step = np.zeros_like(object_)
            step.flat[pixel] = unit
            # Counts are quadratic in the object, so that the central difference is the derivative.
            columns.append((counts(object_ + step) - counts(object_ - step)) / 2)
    slopes = np.stack(columns, axis=1)
    return slopes.T @ (slopes / counts(object_)[:, None])


def stacked(fields, support):
    """Fields (sample, height, width) as real vectors (sample, number)."""
    inside = fields[:, support].numpy()
    return np.concatenate([inside.real, inside.imag], axis=1).astype(np.float64)


def without_turn(fisher):
    """The projection that removes the global phase, which no scan knows."""
    turn = stacked((1j * fisher.at.object_)[None], fisher.support)[0]
    return np.eye(len(turn)) - np.outer(turn, turn) / (turn @ turn)


@pytest.fixture(scope="module", params=[0.0, BACKGROUND])
def both(request):
    fisher = fisher_of(TINY, request.param)
    return fisher, dense(TINY, fisher, request.param)


def test_the_operator_is_the_dense_matrix_of_the_other_forward_model(both):
    fisher, matrix = both
    free = without_turn(fisher)
    directions = fisher.free(torch.randn(5, *fisher.at.object_.shape, dtype=torch.complex64))
    found, expected = stacked(fisher(directions), fisher.support), stacked(directions, fisher.support) @ matrix @ free
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_a_canvas_that_is_mostly_dark_changes_nothing():
    """Room for positions that move, on every side of the frames."""
    scan, *_ = on_device(TINY)
    wide, _ = place_on_canvas(scan.positions, scan.size, margin=30)
    fisher = fisher_of(TINY)
    at = dataclasses.replace(fisher.at, object_=torch.nn.functional.pad(fisher.at.object_, (30,) * 4, value=1.0))
    roomy = Fisher(Likelihood(scan, wide, held_out_fraction=0.0), at)
    assert float((roomy.light > 0).float().mean()) < 0.5
    one, other = (each.solve(each.scores(2, torch.Generator().manual_seed(3))) for each in (fisher, roomy))
    inside = other[:, 30:-30, 30:-30]
    assert (inside - one).abs().max() < 1e-3 * one.abs().max()


def test_it_has_the_curvature_of_the_likelihood():
    fisher = fisher_of(TINY)
    direction = fisher.free(torch.randn(1, *fisher.at.object_.shape, dtype=torch.complex64))[0]
    quadratic = (direction.conj() * fisher(direction[None])[0]).real.sum()
    along = Estimate(direction, torch.zeros_like(fisher.at.probe), haze=torch.tensor(0.0))
    assert float(quadratic) == pytest.approx(fisher.likelihood.curvature(fisher.at, along), rel=1e-4)


def test_solutions_are_those_of_the_dense_matrix(both):
    fisher, matrix = both
    scores = fisher.scores(3, torch.Generator().manual_seed(0))
    free = without_turn(fisher)
    found = stacked(fisher.solve(scores, residual=1e-6, most=2000), fisher.support) @ free
    expected = stacked(scores, fisher.support) @ np.linalg.pinv(free @ matrix @ free, hermitian=True)
    assert np.linalg.norm(found - expected) < 3e-3 * np.linalg.norm(expected)


def test_drawn_errors_have_the_variance_of_the_inverse(both):
    fisher, matrix = both
    n = 60
    found = stacked(fisher.solve(fisher.scores(n, torch.Generator().manual_seed(1))), fisher.support)
    free = without_turn(fisher)
    bound = np.diag(np.linalg.pinv(free @ matrix @ free, hermitian=True))
    ratio = np.mean((found @ free) ** 2, axis=0) / bound
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    # The mean of n squares of a normal number scatters by sqrt(2 / n).
    assert np.abs(ratio - 1).max() < 5 * (2 / n) ** 0.5


def test_ten_times_the_photons_are_ten_decibels():
    one, ten = (shot_noise_limit(small_scan(photons=photons), device=CPU, n_solves=2) for photons in (1e4, 1e5))
    for name in ("amplitude_db", "phase_db"):
        assert getattr(ten, name) - getattr(one, name) == pytest.approx(10, abs=0.02)
    np.testing.assert_allclose(ten.ssnr / one.ssnr, 10, rtol=0.02)


def test_background_and_dead_pixels_take_information_away():
    clean, dull = small_scan(), small_scan(n_dead_pixels=300)
    bound = shot_noise_limit(clean, device=CPU, n_solves=2)
    assert shot_noise_limit(clean, device=CPU, n_solves=2, background=10.0).amplitude_db < bound.amplitude_db - 1
    assert shot_noise_limit(dull, device=CPU, n_solves=2).amplitude_db < bound.amplitude_db - 0.5


def test_the_likelihood_solution_reaches_the_limit_where_photons_are_plenty():
    """Scored as a reconstruction is: its errors in dB, its ring correlation, and its errors over their deviation."""
    scan = small_scan(photons=1e8, object="dead_leaves", overlap=0.8)
    limit = shot_noise_limit(scan, device=CPU, n_solves=8)
    reached = compare(maximum_likelihood(scan, device=CPU, iterations=100), scan.object_)
    assert reached.amplitude_psnr == pytest.approx(limit.amplitude_db, abs=0.4)
    assert reached.phase_psnr == pytest.approx(limit.phase_db, abs=0.6)
    np.testing.assert_allclose(1 - reached.frc.correlation, 1 - limit.frc_max, rtol=1, atol=0)
    sigma = limit.amplitude_deviation[np.isfinite(limit.amplitude_deviation)]
    wrong = (np.abs(reached.aligned.image) - np.abs(reached.reference))[reached.mask]
    inside = np.mean(np.abs(wrong) < sigma)
    assert inside == pytest.approx(0.683, abs=0.05)


def test_a_scan_without_its_truth_is_refused():
    with pytest.raises(DataError, match="carries no true object"):
        shot_noise_limit(dataclasses.replace(small_scan(), object_=None), device=CPU)


def test_frc_max_is_what_an_error_of_that_size_gives():
    scan = small_scan(photons=1e4)
    limit = shot_noise_limit(scan, device=CPU, n_solves=4)
    fisher = fisher_of(scan)
    error = fisher.solve(fisher.scores(1, torch.Generator().manual_seed(9)))[0]
    region = np.isfinite(limit.amplitude_deviation)
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    inner = slice(rows[0] + 6, rows[-1] - 5), slice(columns[0] + 6, columns[-1] - 5)
    truth = fisher.at.object_.numpy()[inner]
    frc = fourier_ring_correlation(truth + error.numpy()[inner], truth)
    expected = np.interp(frc.frequency, limit.frequency, limit.frc_max)
    assert float(np.mean(frc.correlation - expected)) == pytest.approx(0, abs=0.05)


def test_pixels_that_are_held_out_tell_nothing():
    acquisition = small_scan()
    scan, placement, _ = on_device(acquisition)
    at = Estimate(truth_on_canvas(acquisition), torch.from_numpy(acquisition.probe))
    half = Likelihood(scan, placement, held_out_fraction=0.5)
    fisher = Fisher(half, at)
    drawn = torch.randn(at.object_.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    direction = fisher.free(drawn[None])
    along = Estimate(direction[0], torch.zeros_like(at.probe))
    assert float(inner(direction, fisher(direction))) == pytest.approx(half.curvature(at, along), rel=1e-4)
