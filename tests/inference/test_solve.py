"""The iterations never make worse what the network says: photons that neither of them saw decide."""

from dataclasses import dataclass

import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho_torch.inference import solve
from ptycho_torch.inference.solve import Solver
from ptycho_torch.physics.forward import probe_weight, weighted_sums
from ptycho_torch.pinn.build import Constants, build
from tests.laws.scans import on_device, small_scan, truth_on_canvas

EXPOSURES = []


@dataclass(frozen=True)
class Saying(Solver):
    """A solver whose network sees the same object in whatever was measured."""

    object_: torch.Tensor | None = None

    def sums(self, frames):
        EXPOSURES.append((self.flux, float(self.scan.counts(frames).mean())))
        part = self.placement.part(frames)
        patches, weight = part.look()(self.object_), probe_weight(self.pinn.probe)
        return torch.stack(weighted_sums(patches, weight, part.look(), part.place()))


def solved(photons, blur=0.0, total_variation=1.0):
    """Solve a scan with a network that says the truth, or a constant as far as it is blurred."""
    acquisition = small_scan(photons=photons, n_positions=80)
    scan, placement, _ = on_device(acquisition)
    config = TrainingConfig(ModelConfig(N=32, lean_width=8))
    truth = truth_on_canvas(acquisition)
    said = (1 - blur) * truth + blur * truth.mean()
    pinn = build(config.model, config, Constants.of(acquisition))
    refinement = Refinement(15, total_variation=total_variation)
    solver = Saying(pinn, scan, placement, 1.0, 64, 4, refinement, object_=said)
    frames = torch.arange(len(scan))
    return solver, solver.solve(solver.sums(frames), frames)


@pytest.mark.parametrize("total_variation", [0.0, 1.0])
@pytest.mark.parametrize("photons", [30.0, 1e3])
def test_what_can_not_be_made_better_is_kept(photons, total_variation):
    _, found = solved(photons, total_variation=total_variation)
    assert found.network_kept
    assert torch.equal(found.end.object_, found.start.object_)
    assert len(found.history["deviance"]) > 1


@pytest.mark.parametrize("photons", [1e3, 1e4])
def test_what_can_be_made_better_is_though_photons_must_decide(photons):
    _, found = solved(photons, blur=0.7)
    assert not found.network_kept
    assert not torch.equal(found.end.object_, found.start.object_)


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
    solver, found = solved(1e3)
    half = torch.arange(0, len(solver.scan), 2)
    again = solver.with_known(found).solve(solver.sums(half), half)
    assert torch.equal(again.end.object_, again.start.object_)


def test_a_large_scan_is_judged_by_the_frames_in_its_middle(monkeypatch):
    monkeypatch.setattr(solve, "ENOUGH", 30)
    solver, found = solved(1e3)
    assert found.network_kept
    few = solver._amid(torch.arange(10, 80))
    assert len(few) == 30
    assert few.min() >= 10
    middle = solver.scan.positions[10:].median(dim=0).values
    distance = (solver.scan.positions - middle).norm(dim=1)
    others = [frame for frame in range(10, 80) if frame not in few.tolist()]
    assert distance[few].max() <= distance[others].min()
    assert not solved(1e4, blur=0.7)[1].network_kept
