"""From a trained network and a scan to the object, in the frame of the scan."""

import dataclasses
import logging

import numpy as np
import pytest
import torch

from ptycho.assembly.stitch import stitch as numpy_stitch
from ptycho.base.errors import DataError
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement, Span
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.optics.probe import probe_intensity
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.predict import stitch
from ptycho_torch.inference.reconstruct import maximum_likelihood, reconstruct
from ptycho_torch.inference.solve import Solver
from ptycho_torch.physics.forward import place_on_canvas
from ptycho_torch.pinn.build import Constants, build
from tests.laws.scans import small_scan
from tests.stubs import SaysPatches

CPU = torch.device("cpu")
SCAN = small_scan(n_positions=60, photons=1e6)


def pinn_of(acquisition=SCAN, gridsize=1, architecture="lean"):
    """A network with something to say."""
    config = TrainingConfig(ModelConfig(N=32, gridsize=gridsize, architecture=architecture, lean_width=8))
    torch.manual_seed(0)
    pinn = build(config.model, config, Constants.of(acquisition))
    with torch.no_grad():
        for parameter in pinn.network.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    return pinn


def brighter(acquisition, factor):
    return dataclasses.replace(acquisition, patterns=acquisition.patterns.astype(np.uint32) * factor)


@pytest.mark.parametrize("iterations", [0, 2])
def test_four_times_the_counts_double_the_probe_and_leave_the_object(iterations):
    pinn = pinn_of()
    one, four = (
        reconstruct(pinn, scan, device=CPU, refinement=Refinement(iterations, total_variation=0.0))
        for scan in (SCAN, brighter(SCAN, 4))
    )
    for before, after in ((one.stitched, four.stitched), (one.final, four.final)):
        np.testing.assert_allclose(after.probe, 2 * before.probe, rtol=1e-5)
        np.testing.assert_allclose(after.coverage, 4 * before.coverage, rtol=1e-4, atol=1e-6 * after.coverage.max())
    start, end = one.stitched, one.final
    lit = start.coverage > 0.1 * start.coverage.max()
    assert np.abs(four.stitched.object_ - start.object_)[lit].max() < 1e-3
    # What is credible after a count goes with the noise of the count, which is not that of four times fewer: a start
    # far away is left by another way, and the two differ by a share of how far iterations went.
    gone, apart = (np.linalg.norm((each.object_ - end.object_)[lit]) for each in (start, four.final))
    assert apart <= max(gone / 25, 1e-3)


def test_a_little_more_light_is_no_other_exposure():
    pinn = pinn_of()
    near = reconstruct(pinn, brighter(SCAN, 1), device=CPU)
    assert np.array_equal(near.stitched.probe, pinn.probe.detach().numpy())


def test_the_object_lies_on_the_pixels_of_the_truth():
    found = reconstruct(pinn_of(), SCAN, device=CPU, refinement=Refinement(40)).final
    agreement = compare(found, SCAN.object_, shift=False, ramp=False)
    assert agreement.complex_nrmse < 0.02
    top, left = found.origin.astype(int)
    assert (top, left) == tuple((np.floor(SCAN.positions) - 16).min(axis=0).astype(int))
    height, width = found.object_.shape
    assert (top + height, left + width) == tuple((np.floor(SCAN.positions) + 16).max(axis=0).astype(int))


def test_a_scan_moved_as_a_whole_moves_the_origin_alone():
    moved = dataclasses.replace(SCAN, positions=SCAN.positions + np.array([-400.0, 25.0]))
    here, there = (reconstruct(pinn_of(), scan, device=CPU).final for scan in (SCAN, moved))
    assert (there.origin - here.origin).tolist() == [-400.0, 25.0]
    lit = here.coverage > 0.01 * here.coverage.max()
    assert np.abs(there.object_ - here.object_)[lit].max() < 1e-3


def test_where_nothing_looked_there_is_nothing():
    corner = dataclasses.replace(
        SCAN, patterns=SCAN.patterns[:2], positions=np.array([[40.0, 40.0], [100.0, 90.0]]), object_=None
    )
    found = reconstruct(pinn_of(), corner, device=CPU).final
    assert found.coverage[:32, 40:].max() == 0
    assert np.abs(found.object_[:32, 40:]).max() == 0
    assert np.abs(found.object_[16, 16]) > 0


def test_the_patches_are_stitched_as_numpy_stitches_them():
    pinn, scan = pinn_of().eval(), Scan.of(SCAN)
    placement, origin = place_on_canvas(scan.positions, 32)
    object_, coverage = stitch(pinn, scan, placement, torch.arange(60)[:, None], batch_size=7)
    with torch.no_grad():
        patches = pinn.predict(scan.counts(slice(None)))
    weight = probe_intensity(pinn.probe.detach().numpy())
    expected, expected_coverage, expected_origin = numpy_stitch(patches.numpy(), SCAN.positions, weight)
    assert origin.tolist() == expected_origin.tolist()
    lit = expected_coverage > 0.01 * expected_coverage.max()
    assert np.abs(object_.numpy() - expected)[lit].max() < 1e-4
    assert np.abs(coverage.numpy() - expected_coverage).max() < 1e-5 * expected_coverage.max()


@pytest.mark.parametrize(("gridsize", "architecture"), [(1, "lean"), (2, "lean"), (5, "lean"), (1, "unrolled")])
def test_the_batch_size_does_not_matter(gridsize, architecture):
    pinn = pinn_of(gridsize=gridsize, architecture=architecture)
    one, other = (reconstruct(pinn, SCAN, device=CPU, batch_size=size).final for size in (64, 7))
    lit = one.coverage > 0.01 * one.coverage.max()
    assert np.abs(one.object_ - other.object_)[lit].max() < 1e-4


@pytest.mark.parametrize("gridsize", [2, 3, 4, 5])
def test_a_network_that_sees_groups_covers_the_scan(gridsize):
    found = reconstruct(pinn_of(gridsize=gridsize), SCAN, device=CPU, refinement=Refinement(30)).final
    assert compare(found, SCAN.object_).complex_nrmse < 0.05


@pytest.mark.parametrize("gridsize", [1, 2, 3])
def test_the_light_is_what_fell_however_often_a_pattern_is_looked_at(gridsize):
    found = reconstruct(pinn_of(gridsize=gridsize), SCAN, device=CPU).final
    scan = Scan.of(SCAN)
    placement, _ = place_on_canvas(scan.positions, 32)
    likelihood = Likelihood(scan, placement, held_out_fraction=0.0)
    light = likelihood.light(Estimate(torch.from_numpy(found.object_), torch.from_numpy(found.probe)))
    bright = light > 0.05 * light.max()
    torch.testing.assert_close(torch.from_numpy(found.coverage)[bright], light[bright], rtol=0.1, atol=0)


class Flat(SaysPatches):
    def forward(self, images):
        return torch.full((len(images), images.shape[1] // 2, *images.shape[2:]), 0.2, dtype=torch.complex64)


def test_the_brightness_of_the_object_comes_from_the_counts():
    """A network that says 0.2 everywhere is corrected by one factor: the counts expected are those measured."""
    pinn = pinn_of()
    pinn.network = Flat()
    found = reconstruct(pinn, SCAN, device=CPU).final
    lit = found.coverage > 0.3 * found.coverage.max()
    modulus = np.abs(found.object_[lit])
    assert modulus.std() < 1e-3 * modulus.mean()
    mean_transmission = SCAN.counts_per_frame().mean(dtype=float) / probe_intensity(found.probe).sum()
    assert modulus.mean() == pytest.approx(mean_transmission**0.5, rel=0.05)


def test_the_result_says_how_it_came_about():
    done = reconstruct(pinn_of(), SCAN, device=CPU, refinement=Refinement(6))
    assert done.iterations == len(done.final.history["deviance"]) - 1 == 6
    assert done.stitched.history == {}
    assert set(done.seconds) == {"predict and stitch", "refine", "compare"}
    assert done.deviance == pytest.approx(done.final.history["deviance"][-1], rel=0.2)
    # What counts is the iterate that held-out pixels like best.
    assert any(done.r_factor == pytest.approx(found, rel=1e-3) for found in done.final.history["r_factor"][1:])
    alone = reconstruct(pinn_of(), SCAN, device=CPU)
    assert alone.iterations == 0
    assert alone.deviance > done.deviance
    assert np.array_equal(alone.final.object_, alone.stitched.object_)
    assert np.array_equal(alone.final.object_, done.stitched.object_)


def test_another_pattern_size_is_refused():
    with pytest.raises(DataError, match="64 x 64 px but the network was trained on 32 x 32") as refused:
        reconstruct(pinn_of(), small_scan(N=64, n_positions=4), device=CPU)
    assert "\n" not in str(refused.value)


def test_another_probe_is_reported(caplog):
    with caplog.at_level(logging.WARNING):
        reconstruct(pinn_of(), SCAN, device=CPU)
        assert not caplog.records
        turned = dataclasses.replace(SCAN, probe=1j * SCAN.probe * 0.01)
        reconstruct(pinn_of(), turned, device=CPU)
        assert not caplog.records, "a global factor makes no other probe"
        reconstruct(pinn_of(), dataclasses.replace(SCAN, probe=np.roll(SCAN.probe, 8, axis=2)), device=CPU)
    assert "correlates with the trained one by only" in caplog.text


def test_an_unrolled_network_works_with_the_probe_of_the_scan(caplog):
    """Whatever probe it was trained behind: trained behind this one, it says the same."""
    moved = dataclasses.replace(SCAN, probe=np.roll(0.01 * SCAN.probe, 8, axis=2), object_=None)
    with caplog.at_level(logging.WARNING):
        found = reconstruct(pinn_of(brighter(SCAN, 9), architecture="unrolled"), moved, device=CPU).stitched
    assert not caplog.records
    expected = reconstruct(pinn_of(moved, architecture="unrolled"), moved, device=CPU).stitched
    np.testing.assert_array_equal(found.object_, expected.object_)
    np.testing.assert_allclose(found.probe, Constants.of(moved).probe, rtol=1e-5)
    other = reconstruct(pinn_of(moved, architecture="unrolled"), SCAN, device=CPU).stitched
    lit = other.coverage > 0.1 * other.coverage.max()
    assert np.abs(found.object_ - other.object_)[lit].max() > 0.05


@pytest.mark.parametrize("iterations", [0, 4])
def test_what_masked_pixels_hold_changes_nothing(iterations):
    masked = small_scan(n_dead_pixels=40)
    wild = np.where(masked.mask, masked.patterns, 60_000).astype(masked.patterns.dtype)
    pinn = pinn_of(masked)
    one, other = (
        reconstruct(pinn, scan, device=CPU, refinement=Refinement(iterations))
        for scan in (masked, dataclasses.replace(masked, patterns=wild))
    )
    assert np.array_equal(one.final.object_, other.final.object_)
    assert one.r_factor == other.r_factor


def test_the_likelihood_solution_needs_a_truth_and_stays_near_it():
    found = maximum_likelihood(SCAN, device=CPU, iterations=20)
    assert compare(found, SCAN.object_, shift=False, ramp=False).complex_nrmse < 0.01
    assert np.array_equal(found.probe, SCAN.probe)
    with pytest.raises(DataError, match="no true object"):
        maximum_likelihood(dataclasses.replace(SCAN, object_=None), device=CPU)


@pytest.mark.parametrize(
    ("gridsize", "architecture", "iterations"), [(1, "lean", 0), (1, "lean", 4), (2, "lean", 2), (1, "unrolled", 0)]
)
def test_a_self_check_leaves_the_result_as_it_is(gridsize, architecture, iterations):
    pinn = pinn_of(gridsize=gridsize, architecture=architecture)
    plain, checked = (
        reconstruct(pinn, SCAN, device=CPU, refinement=Refinement(iterations), check=check) for check in (False, True)
    )
    assert plain.check is None
    lit = checked.final.coverage > 0.1 * checked.final.coverage.max()
    assert np.array_equal(checked.final.object_, plain.final.object_)
    found = checked.check
    assert found.deviance.mean() == pytest.approx(checked.deviance, rel=1e-4)
    assert found.z.shape == found.deviance.shape == (SCAN.n_positions,)
    assert found.shot_noise.shape == found.phase_deviation.shape == checked.final.object_.shape
    np.testing.assert_allclose(found.shot_noise[lit], checked.final.coverage[lit] ** -0.5, rtol=0.05)


def test_iterations_bring_the_halves_together():
    pinn = pinn_of()
    alone, refined = (reconstruct(pinn, SCAN, device=CPU, refinement=Refinement(k), check=True).check for k in (0, 8))
    crossings = [check.as_dict()["frc_crossings"]["half_bit"] for check in (alone, refined)]
    assert crossings[1] > crossings[0]
    for name in ("amplitude_deviation", "phase_deviation"):
        assert np.nanmedian(getattr(refined, name)) < np.nanmedian(getattr(alone, name))


@pytest.mark.parametrize(("gridsize", "architecture"), [(1, "lean"), (2, "lean"), (1, "unrolled")])
def test_a_half_knows_nothing_of_the_frames_of_the_other(gridsize, architecture):
    scan = Scan.of(SCAN)
    placement, _ = place_on_canvas(scan.positions, 32)

    def solver(patterns):
        return Solver(pinn, dataclasses.replace(scan, patterns=patterns), placement, 1.0, 16, 4, Refinement(2))

    pinn = pinn_of(gridsize=gridsize, architecture=architecture)
    every = torch.arange(60)
    whole, [(one, sums), (other, other_sums)] = solver(scan.patterns).sums_with_halves(every, wanted=True)
    if not pinn.sees_neighbours:
        torch.testing.assert_close(sums + other_sums, whole)
    patterns = scan.patterns.to(torch.int32)
    patterns[other] = patterns[other].flip(1)
    changed = solver(patterns)
    _, [(_, again), (_, others_again)] = changed.sums_with_halves(every, wanted=True)
    assert torch.equal(again, sums)
    assert not torch.equal(others_again, other_sums)
    before, after = solver(scan.patterns).solve(sums, one), changed.solve(sums, one)
    assert torch.equal(before.end.object_, after.end.object_)


def test_a_scan_too_small_for_halves_is_judged_without():
    few = reconstruct(pinn_of(gridsize=2), SCAN.part(np.arange(6)), device=CPU, check=True).check
    assert few.agreement is None
    assert few.as_dict()["frc_crossings"] == {"half_bit": None, "one_bit": None, "one_seventh": None}
    assert len(few.worst.indices) == 6


@pytest.mark.parametrize("iterations", [0, 2])
def test_passes_bring_what_the_network_says_nearer_to_the_counts_in_the_halves_too(iterations):
    pinn = pinn_of()
    asked = Refinement(iterations, probe=Span(), coarse_passes=3, passes=3, n_modes=2)
    alone = reconstruct(pinn, SCAN, device=CPU)
    done = reconstruct(pinn, SCAN, device=CPU, refinement=asked, check=True)
    assert done.deviance < 0.5 * alone.deviance
    assert done.iterations == iterations
    assert len(done.final.probe) == 2
    np.testing.assert_array_equal(done.stitched.object_, alone.stitched.object_)
    assert done.check.agreement is not None
