"""What network and iterations say becomes one object that is no worse than either: photons that neither saw decide."""

from dataclasses import dataclass, replace

import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement, Span
from ptycho.config.training import TrainingConfig
from ptycho_torch.inference import solve
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.refine import HELD_OUT, refine
from ptycho_torch.inference.solve import Solver
from ptycho_torch.physics.forward import probe_weight, weighted
from ptycho_torch.pinn.build import Constants, build
from tests.laws.scans import on_device, small_scan, truth_on_canvas

EXPOSURES = []
HELD_BACK = Refinement(15)
FREE = Refinement(15, total_variation=0.0)
PASSES = Refinement(passes=4)


@dataclass(frozen=True)
class Saying(Solver):
    """A solver whose network sees the same object in whatever was measured."""

    object_: torch.Tensor | None = None

    def sums(self, frames):
        EXPOSURES.append((self.flux, float(self.scan.counts(frames).mean())))
        part = self.placement.part(frames)
        patches, weight = part.look()(self.object_), probe_weight(self.pinn.probe)
        return torch.stack([part.look().adjoint(moved) for moved in weighted(patches, weight, part.place())])


def solved(photons, blur=0.0, learnt=False, refinement=HELD_BACK):
    """Solve a scan with a network that says the truth, a constant as far as it is blurred, or what it learnt from it.

    What it learnt is the most likely object, with all the noise that the scan has.
    """
    acquisition = small_scan(photons=photons, n_positions=80)
    scan, placement, _ = on_device(acquisition)
    config = TrainingConfig(ModelConfig(N=32, lean_width=8))
    truth = truth_on_canvas(acquisition)
    said = (1 - blur) * truth + blur * truth.mean()
    if learnt:
        at = Estimate(truth, torch.from_numpy(acquisition.probe))
        said = refine(at, scan, placement, Refinement(30), held_out_fraction=0.0).at.object_
    pinn = build(config.model, config, Constants.of(acquisition))
    solver = Saying(pinn, scan, placement, 1.0, 64, 4, refinement, object_=said)
    frames = torch.arange(len(scan))
    return solver, solver.solve(solver.sums(frames), frames)


def iterated(solver):
    """Solve with none of the network's object."""
    frames = torch.arange(len(solver.scan))
    return replace(solver, network_weight=0.0).solve(solver.sums(frames), frames)


def wrong(object_, light, truth):
    """Share of an object's power, where light fell, that no factor on the truth explains."""
    lit = light > 0.1 * light.max()
    overlap = torch.vdot(truth[lit], object_[lit]).abs() / (truth[lit].norm() * object_[lit].norm())
    return float(1 - overlap**2)


@pytest.mark.parametrize(
    ("photons", "refinement"), [(30.0, FREE), (30.0, HELD_BACK), (1e3, FREE), (30.0, PASSES), (1e3, PASSES)]
)
def test_what_can_not_be_made_better_is_kept(photons, refinement):
    _, found = solved(photons, refinement=refinement)
    assert found.network_kept
    assert found.network_weight == 1
    assert torch.equal(found.end.object_, found.start.object_)
    assert len(found.history["deviance"]) > 1
    assert found.held_out_deviance == found.history["held_out_deviance"][0]


def test_a_truth_hardly_suffers():
    solver, found = solved(1e3)
    truth = truth_on_canvas(small_scan(photons=1e3, n_positions=80))
    said, end, made = (
        wrong(each.object_, found.light, truth) for each in (found.start, found.end, iterated(solver).end)
    )
    assert made > 3 * said
    assert end < 1.1 * said


@pytest.mark.parametrize(("photons", "worst"), [(1e3, 1.1), (1e4, 1.02)])
def test_a_poor_network_hardly_harms(photons, worst):
    solver, found = solved(photons, blur=0.7)
    truth = truth_on_canvas(small_scan(photons=photons, n_positions=80))
    made = iterated(solver).end
    assert wrong(found.end.object_, found.light, truth) < worst * wrong(made.object_, found.light, truth)
    assert not found.network_kept


def test_the_mean_of_two_objects_is_better_than_either():
    solver, found = solved(1e3, blur=0.25)
    truth = truth_on_canvas(small_scan(photons=1e3, n_positions=80))
    said, end, made = (
        wrong(each.object_, found.light, truth) for each in (found.start, found.end, iterated(solver).end)
    )
    assert end < 0.9 * min(said, made)


@pytest.mark.parametrize(
    ("photons", "blur", "better"), [(30.0, 0.0, "the network's"), (1e3, 0.7, "what the iterations")]
)
def test_it_is_said_who_fits_photons_kept_apart_better_and_what_share_that_gives(caplog, photons, blur, better):
    caplog.set_level("INFO", "ptycho_torch.inference.solve")
    _, found = solved(photons, blur=blur)
    (told,) = caplog.messages
    assert told.startswith(f"photons kept apart fit {better}")
    assert told.endswith(f"the network's share is {100 * found.network_weight:.0f} %")
    assert "-" not in told


def test_the_global_phase_of_the_network_does_not_matter():
    _, found = solved(1e3)
    turned = replace(found, start=replace(found.start, object_=1j * found.start.object_), network_weight=0.0)
    torch.testing.assert_close(solve.between(turned, 0.5).object_, solve.between(found, 0.5).object_)


def test_what_the_iterations_made_comes_out_of_the_mean_again():
    solver, found = solved(1e3, blur=0.25)
    assert 0.1 < found.network_weight < 0.9
    turned = replace(found, start=replace(found.start, object_=1j * found.start.object_))
    made = iterated(solver)
    for mean in (found, turned):
        again = solve.less_network(mean)
        torch.testing.assert_close(again.end.object_, made.end.object_, rtol=0, atol=1e-4)
        assert again.network_weight == 0
    assert (found.end.object_ - made.end.object_).abs().max() > 1e-2


def test_the_factor_that_object_and_probe_share_does_not_matter():
    _, found = solved(1e3)
    end = replace(found.end, object_=3 * found.end.object_, probe=found.end.probe / 3)
    other = solve.between(replace(found, end=end), 0.5)
    torch.testing.assert_close(other.object_, 3 * solve.between(found, 0.5).object_)


@pytest.mark.parametrize("free", [{"probe": Span()}, {"flux": Span(), "background": Span()}])
def test_a_truth_is_known_where_more_than_the_object_is_free(free):
    """So few photons move the factor that object and probe share by a third."""
    _, found = solved(30.0, refinement=Refinement(15, **free))
    power = found.start.probe.norm() / found.end.probe.norm()
    assert power < 0.8
    assert found.network_kept
    torch.testing.assert_close(found.end.object_, power * found.start.object_)


def test_where_the_network_is_kept_what_else_was_refined_stays():
    solver, _ = solved(1e3, refinement=Refinement(3, probe=Span()))
    frames = torch.arange(len(solver.scan))
    kept = replace(solver, network_weight=1.0).solve(solver.sums(frames), frames)
    assert kept.network_kept
    assert torch.equal(kept.end.probe, iterated(solver).end.probe)
    assert not torch.equal(kept.end.probe, kept.start.probe)


def test_where_the_object_is_fixed_there_is_nothing_to_judge():
    _, found = solved(1e3, refinement=Refinement(3, object=None, probe=Span()))
    assert torch.equal(found.end.object_, found.start.object_)
    assert not torch.equal(found.end.probe, found.start.probe)


def test_an_object_beside_the_probe_of_other_frames_expects_as_many_counts():
    solver, found = solved(1e3)
    frames = torch.arange(len(solver.scan))
    common = replace(found.end, probe=found.end.probe / 3)
    begun = replace(solver, common=common)._begun(solver.sums(frames), frames)
    assert solver.likelihood(frames, solver.placement).flux(begun.end) == pytest.approx(1, rel=1e-3)


def test_the_held_out_deviance_is_that_of_the_mean():
    solver, found = solved(1e3)
    law = Likelihood(solver.scan, found.placement, held_out_fraction=HELD_OUT)
    assert 0 < found.network_weight < 1
    assert found.held_out_deviance == law(found.end).held_out_mean


def test_passes_alone_are_judged_too():
    _, found = solved(1e4, blur=0.7, refinement=PASSES)
    assert not found.network_kept
    assert not torch.equal(found.end.object_, found.start.object_)


@pytest.mark.parametrize("photons", [1e3, 1e4, 1e5])
def test_noise_that_a_network_has_learnt_from_the_same_scan_does_not_win(photons):
    _, found = solved(photons, learnt=True)
    truth = truth_on_canvas(small_scan(photons=photons, n_positions=80))
    assert not found.network_kept
    assert wrong(found.end.object_, found.light, truth) < 0.7 * wrong(found.start.object_, found.light, truth)


def test_where_there_is_no_doubt_nothing_is_judged(monkeypatch):
    monkeypatch.delattr(Solver, "_judged")
    _, found = solved(1e7, blur=0.5)
    assert not found.network_kept


def test_a_network_that_is_judged_is_told_how_bright_the_thinned_patterns_are():
    EXPOSURES.clear()
    solved(1e3)
    (whole, counts), (thinned, fewer) = EXPOSURES
    assert thinned / whole == pytest.approx(fewer / counts, rel=0.02)


def test_halves_follow_the_whole():
    solver, found = solved(30.0)
    half = torch.arange(0, len(solver.scan), 2)
    again = solver.with_known(found).solve(solver.sums(half), half)
    assert torch.equal(again.end.object_, again.start.object_)


def test_halves_of_a_network_that_is_kept_have_the_scale_of_the_whole():
    solver, found = solved(30.0, refinement=Refinement(15, probe=Span()))
    half = torch.arange(0, len(solver.scan), 2)
    again = solver.with_known(found).solve(solver.sums(half), half)
    lit = again.light > 0.1 * again.light.max()
    assert float(again.end.object_[lit].norm() / found.end.object_[lit].norm()) == pytest.approx(1, abs=0.1)


def test_a_large_scan_is_judged_by_the_frames_in_its_middle(monkeypatch):
    monkeypatch.setattr(solve, "ENOUGH", 40)
    solver, found = solved(1e3)
    assert found.network_kept or found.network_weight > 0
    few = solver._amid(torch.arange(10, 80))
    assert len(few) == 40
    assert few.min() >= 10
    middle = solver.scan.positions[10:].sort(dim=0).values[35]
    distance = (solver.scan.positions - middle).norm(dim=1)
    others = [frame for frame in range(10, 80) if frame not in few.tolist()]
    assert distance[few].max() <= distance[others].min()
    assert not solved(1e4, blur=0.7)[1].network_kept
