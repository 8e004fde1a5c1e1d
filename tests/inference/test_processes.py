"""Two processes that share the frames of a scan make of it what one does."""

import os
import socket

import numpy as np
import pytest
import torch

from ptycho.base.errors import ConfigError, DataError
from ptycho.base.launched import Launched, from_launcher
from ptycho.config.refinement import Refinement, Span
from ptycho_torch.base.devices import device_of
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.first_guess import FirstGuess
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.inference.refine import refine
from ptycho_torch.processes.world import ALONE, World, joined
from tests.inference.test_reconstruct import CPU, SCAN, pinn_of
from tests.laws.processes import in_two
from tests.laws.scans import on_device, small_scan, truth_on_canvas

pytestmark = [pytest.mark.ddp, pytest.mark.slow]

# Of the same sums in another order; and after so few iterations that rounding errors have not been magnified much.
STITCHED, ITERATED = 1e-6, 1e-4
DIM = small_scan(n_positions=60, photons=300.0)
EVERYTHING = {name: Span(0) for name in ("probe", "positions", "flux", "background", "probe_variation")}
CASES = {
    "lean": {},
    "unrolled": {"architecture": "unrolled"},
    "groups": {"gridsize": 2},
    "iterations": {"refinement": Refinement(3)},
    "judged by held-out pixels": {"refinement": Refinement(3, total_variation=0.0)},
    "few photons": {"refinement": Refinement(4), "scan": DIM},
    "probe": {"refinement": Refinement(3, probe=Span(0))},
    "passes": {"refinement": Refinement(passes=2, coarse_passes=2, n_modes=2, probe=Span(0))},
    "everything": {"refinement": Refinement(2, n_variations=2, **EVERYTHING)},
}


def made(world=ALONE):
    """Case -> what becomes of the scan, checked too."""
    results = {}
    for name, case in CASES.items():
        case = dict(case)
        scan, refinement = case.pop("scan", SCAN), case.pop("refinement", Refinement())
        results[name] = reconstruct(
            pinn_of(scan, **case), scan, device=CPU, refinement=refinement, check=True, world=world
        )
    return results


def refined(world=ALONE):
    """The object after twenty iterations from somewhere near the truth."""
    scan, placement, _ = on_device(SCAN)
    truth = truth_on_canvas(SCAN)
    noise = torch.randn(truth.shape, dtype=truth.dtype, generator=torch.Generator().manual_seed(0))
    start = Estimate(truth + 0.05 * noise, torch.as_tensor(SCAN.probe))
    done = refine(start, scan, placement, Refinement(20), held_out_fraction=0.02, world=world)
    return done.at.object_, done.coverage


def refined_while_guesses_differ():
    """The object that each process ends with when its guesses of the Hessian are rounded in its own way."""
    guess = FirstGuess.__call__

    def rounded(self, gradient):
        return guess(self, gradient).times(1 + 1e-6 * int(os.environ["RANK"]))

    FirstGuess.__call__ = rounded
    with joined(from_launcher(), CPU) as world:
        return refined(world)[0]


def summed_in_place():
    with joined(from_launcher(), CPU) as world:
        tensor = torch.ones(2, 3).T
        world.sum(tensor)
        return tensor


def made_together():
    with joined(from_launcher(), CPU) as world:
        return made(world), refined(world)


def in_fields(world=ALONE):
    """What becomes of a scan whose canvas is solved in fields."""
    scan = small_scan(n_positions=300, photons=1e5, overlap=0.6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ptycho_torch.inference.reconstruct.ONE_PIECE", 0)
        patch.setattr("ptycho_torch.inference.fields.SIDE", 32)
        return reconstruct(pinn_of(scan), scan, device=CPU, refinement=Refinement(2), world=world)


def in_fields_together():
    with joined(from_launcher(), CPU) as world:
        return in_fields(world)


@pytest.fixture(scope="module")
def alone():
    return made()


@pytest.fixture(scope="module")
def together():
    return in_two(made_together)


def apart(one, other):
    """The distance of two objects where light fell, as a share of their size."""
    light = one.coverage
    return np.sqrt((light * np.abs(one.object_ - other.object_) ** 2).sum() / (light * np.abs(one.object_) ** 2).sum())


@pytest.mark.parametrize("name", CASES)
def test_two_processes_make_what_one_makes(alone, together, name):
    expected, first, second = (results[name] for results in (alone, together[0][0], together[1][0]))
    assert apart(expected.stitched, first.stitched) < STITCHED
    assert apart(expected.final, first.final) < ITERATED
    np.testing.assert_allclose(first.final.coverage, expected.final.coverage, atol=1e-4 * expected.final.coverage.max())
    np.testing.assert_allclose(first.final.probe, expected.final.probe, atol=1e-4 * np.abs(expected.final.probe).max())
    for part in ("corrected_positions", "flux", "variation_weights"):
        mine, theirs = getattr(first.final, part), getattr(expected.final, part)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_allclose(mine, theirs, atol=1e-3)
    for curve, values in expected.final.history.items():
        assert first.final.history[curve] == pytest.approx(values, rel=1e-3), curve
    assert first.network_weight == pytest.approx(expected.network_weight, rel=1e-3)
    assert (first.network_weight, first.network_kept) == (second.network_weight, expected.network_kept)
    assert np.array_equal(first.final.object_, second.final.object_), "all processes go the same way, bit by bit"
    assert first.deviance == pytest.approx(expected.deviance, rel=1e-4)
    np.testing.assert_allclose(first.check.z, expected.check.z, rtol=1e-3, atol=0.01)
    np.testing.assert_allclose(first.check.shot_noise, expected.check.shot_noise, rtol=1e-3)
    assert first.check.limit.amplitude_db == pytest.approx(expected.check.limit.amplitude_db, abs=1.0)


def test_the_first_process_alone_has_a_canvas_that_is_solved_in_fields():
    """It may be larger than a disk has room for twice."""
    expected, (first, second) = in_fields(), in_two(in_fields_together)
    assert apart(expected.final, first.final) < ITERATED
    for mine in (second.stitched, second.final):
        assert mine.object_.size == mine.coverage.size == 0
    assert (first.deviance, first.network_kept) == (second.deviance, second.network_kept)
    assert np.array_equal(first.field.object_, second.field.object_)


def test_twenty_iterations_near_the_solution_go_the_same_way(together):
    (expected, light), (found, _) = refined(), together[0][1]
    error = (light * (found - expected).abs().square()).sum() / (light * expected.abs().square()).sum()
    assert float(error) ** 0.5 < ITERATED


def test_what_each_gpu_rounds_in_its_own_way_leads_nobody_astray():
    one, other = in_two(refined_while_guesses_differ)
    assert torch.equal(one, other)


def test_a_sum_is_where_its_tensor_was():
    """Also where that does not lie in one piece."""
    assert all(torch.equal(found, 2 * torch.ones(3, 2)) for found in in_two(summed_in_place))


def test_a_port_that_another_program_has_is_named(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        here = Launched(0, 2, 0, 2, port=port)
        for name, value in here.variables().items():
            monkeypatch.setenv(name, value)
        words = rf"another program listens at port {port} already; expected a free one .*; set MASTER_PORT to another"
        with pytest.raises(ConfigError, match=words), joined(here, CPU):
            pass


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        ConfigError, match=r"found 2 processes on this machine and CUDA GPUs to choose from: 1; expected"
    ):
        device_of(Launched(1, 2, 1, 2), "auto")
    assert device_of(Launched(1, 2, 1, 2), "cpu") == CPU


def test_too_many_processes_for_a_scan_are_refused():
    with pytest.raises(DataError, match=r"found 60 frames for 16 processes; expected at least 4 for each; give fewer"):
        reconstruct(pinn_of(), SCAN, device=CPU, world=World(0, 16))
