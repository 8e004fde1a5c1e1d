"""Two processes that share the frames of a scan make of it what one does."""

import numpy as np
import pytest
import torch

from ptycho.base.errors import DataError
from ptycho.base.launched import from_launcher
from ptycho.config.refinement import Refinement, Span
from ptycho_torch.inference.estimate import Estimate
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


def made_together():
    with joined(from_launcher(), CPU) as world:
        return made(world), refined(world)


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
    assert (first.network_weight, first.network_kept) == (expected.network_weight, expected.network_kept)
    assert np.array_equal(first.final.object_, second.final.object_), "all processes go the same way, bit by bit"
    assert first.deviance == pytest.approx(expected.deviance, rel=1e-4)
    np.testing.assert_allclose(first.check.z, expected.check.z, rtol=1e-3, atol=0.01)
    np.testing.assert_allclose(first.check.shot_noise, expected.check.shot_noise, rtol=1e-3)
    assert first.check.limit.amplitude_db == pytest.approx(expected.check.limit.amplitude_db, abs=1.0)


def test_twenty_iterations_near_the_solution_go_the_same_way(together):
    (expected, light), (found, _) = refined(), together[0][1]
    error = (light * (found - expected).abs().square()).sum() / (light * expected.abs().square()).sum()
    assert float(error) ** 0.5 < ITERATED


def test_too_many_processes_for_a_scan_are_refused():
    with pytest.raises(DataError, match=r"found 60 frames for 16 processes; expected at least 4 for each; give fewer"):
        reconstruct(pinn_of(), SCAN, device=CPU, world=World(0, 16))
