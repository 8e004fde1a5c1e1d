"""A network that works on the object in passes, behind any probe."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.data.batch import Batch, Step, gather
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.predict import stitch
from ptycho_torch.inference.reconstruct import behind_probe_of
from ptycho_torch.physics.backprojection import DAMPING
from ptycho_torch.physics.forward import place_on_canvas, probe_weight
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.pinn.unrolled import Frames, UnrolledPINN
from tests.laws.scans import on_device, small_scan

SCAN = small_scan(n_modes=2, n_positions=24, n_dead_pixels=20)
OTHER = small_scan(n_positions=24, probe="gaussian", seed=1)
# What dark pixels of a canvas hold is nobody's knowledge.
LIT = 1e-2


def pinn_of(acquisition=SCAN, passes=2):
    """An unrolled network with something to say."""
    model = ModelConfig(N=32, architecture="unrolled", lean_width=8, passes=passes)
    torch.manual_seed(0)
    pinn = build(model, TrainingConfig(model), Constants.of(acquisition))
    with torch.no_grad():
        for parameter in pinn.network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return pinn.eval()


def probe_of(acquisition):
    return Constants.of(acquisition).probe


def assert_same_object(found, expected, tolerance=1e-4):
    (canvas, light), (other, _) = found, expected
    lit = light > LIT * light.max()
    torch.testing.assert_close(canvas[lit], other[lit], rtol=0, atol=tolerance)


@torch.no_grad()
def canvas_of(pinn, acquisition, order=slice(None), factor=1.0, turn=1.0):
    scan = Scan.of(acquisition)
    placement, _ = place_on_canvas(scan.positions, scan.size)
    probe = turn * factor**0.5 * pinn.probe
    counts = factor * scan.counts(slice(None))[order]
    return pinn.canvas(Frames.of(counts, placement.part(order), probe, scan.mask))


def test_a_configuration_becomes_it():
    pinn = pinn_of(passes=5)
    assert isinstance(pinn, UnrolledPINN)
    assert (pinn.passes, pinn.channels, pinn.sees_neighbours) == (5, 1, True)


def test_the_order_of_the_frames_does_not_matter():
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    pinn = pinn_of()
    assert_same_object(canvas_of(pinn, SCAN), canvas_of(pinn, SCAN, order), 1e-5)


def test_frames_in_batches_are_frames_together():
    pinn = pinn_of(passes=3)
    scan, placement, _ = on_device(SCAN)
    every = torch.arange(24)[:, None]
    in_batches, at_once = (stitch(pinn, scan, placement, every, batch_size=size) for size in (7, 24))
    assert_same_object(in_batches, at_once, 1e-5)
    assert_same_object(at_once, canvas_of(pinn, SCAN), 1e-5)


def test_counts_times_a_factor_and_the_probe_by_its_root_leave_the_object():
    """Only the image that tells the dose hears of it: a network that does not look there says the same.

    In bright light: where less than a thousandth of a count is expected, a pattern asks for less.
    """
    pinn = pinn_of()
    louder = canvas_of(pinn, SCAN, factor=100.0)
    assert (louder[0] - canvas_of(pinn, SCAN)[0]).abs().max() > 1e-3
    with torch.no_grad():
        pinn.network.stem.weight[:, -4:] = 0
    assert_same_object(canvas_of(pinn, SCAN, factor=1e4), canvas_of(pinn, SCAN, factor=1e2))


def test_a_frame_sees_the_step_that_it_asks_for_and_the_one_that_all_ask_for():
    """Of two frames at one place each light counts once, and the damping of the common step is that of one frame."""
    pinn, images = pinn_of(passes=1), []
    pinn.network.register_forward_pre_hook(lambda _, given: images.append(given[0]))
    placement, _ = place_on_canvas(torch.full((2, 2), 40.0, dtype=torch.float64), 32)
    with torch.no_grad():
        pinn.canvas(Frames.of(Scan.of(SCAN).counts(torch.tensor([0, 5])), placement, pinn.probe))
    own, common, light = images[0][:, 2:4], images[0][:, 4:6], images[0][:, 6:7]
    expected = own.sum(dim=0) * (light + DAMPING) / (2 * light + DAMPING)
    torch.testing.assert_close(common, expected, rtol=1e-3, atol=1e-5)
    assert (own[0] - own[1]).abs().max() > 1e-2


def test_the_global_phase_of_the_probe_does_not_matter():
    pinn = pinn_of()
    turn = torch.polar(torch.ones(()), torch.tensor(2.1))
    assert_same_object(canvas_of(pinn, SCAN, turn=turn), canvas_of(pinn, SCAN))


def test_pixels_that_cannot_be_trusted_are_not_looked_at():
    pinn, scan = pinn_of(), Scan.of(SCAN)
    batch = gather(scan, Step(torch.arange(8)[None]))
    changed = dataclasses.replace(batch, counts=torch.where(scan.mask, batch.counts, 1e5))
    with torch.no_grad():
        assert torch.equal(pinn(batch).canvas, pinn(changed).canvas)


def test_the_probe_is_an_input():
    pinn = pinn_of()
    behind = pinn.behind(probe_of(OTHER), Constants.of(OTHER).input_scale)
    torch.testing.assert_close(behind.probe.detach(), probe_of(OTHER))
    assert float(behind.input_scale) == pytest.approx(Constants.of(OTHER).input_scale)
    assert behind.network is pinn.network
    with torch.no_grad():
        batch = gather(Scan.of(OTHER), Step(torch.arange(12)[None]))
        here, there = pinn(batch).canvas, behind(batch).canvas
        told = pinn(batch, probe_of(OTHER)[None]).canvas
    assert (here - there).abs().max() > 1e-2
    torch.testing.assert_close(told, there)


def test_regions_behind_their_own_probes_do_not_hear_of_each_other():
    pinn = pinn_of(OTHER)
    probes = torch.stack([probe_of(OTHER), probe_of(small_scan(probe="zone_plate"))])
    scan = Scan.of(OTHER)
    regions = torch.arange(24).view(2, 12)
    batch = gather(scan, Step(regions))
    with torch.no_grad():
        together = pinn(batch, probes)
        for region, probe in enumerate(probes):
            alone = pinn(gather(scan, Step(regions[region][None])), probe[None])
            counts = together.counts[12 * region : 12 * (region + 1)]
            torch.testing.assert_close(counts, alone.counts, rtol=1e-3, atol=1e-2)


def test_patterns_whose_positions_nobody_knows_stand_alone():
    pinn = pinn_of(OTHER)
    scan = Scan.of(OTHER)
    with torch.no_grad():
        patches = pinn.predict(scan.counts(slice(0, 3)))
        for number in range(3):
            one = Batch(scan.counts(slice(number, number + 1)), torch.zeros(1, 1, 2, dtype=torch.float64))
            canvas = pinn(one).canvas
            lit = probe_weight(pinn.probe) > LIT * probe_weight(pinn.probe).max()
            torch.testing.assert_close(patches[number][lit], canvas[lit], rtol=0, atol=1e-4)


def test_passes_of_a_fresh_network_are_steps_of_an_iterative_engine():
    model = ModelConfig(N=32, architecture="unrolled", lean_width=8)
    pinn = build(model, TrainingConfig(model), Constants.of(SCAN))
    with torch.no_grad():
        pinn.network.head.spread.weight.zero_()
    batch = gather(Scan.of(SCAN), Step(torch.arange(24)[None]))
    misfits = []
    for passes in (1, 2, 4, 8, 30):
        pinn.passes = passes
        with torch.no_grad():
            expected = pinn(batch).counts
        misfits.append(float((expected.sqrt() - batch.counts.sqrt())[:, batch.mask].square().sum()))
    assert all(after < before for before, after in itertools.pairwise(misfits)), misfits
    assert misfits[-1] < 0.5 * misfits[0]


def test_it_learns_from_the_counts_alone():
    pinn = pinn_of(passes=2).train()
    batch = gather(Scan.of(SCAN), Step(torch.arange(24)[None]))
    optimiser = torch.optim.Adam(pinn.network.parameters(), lr=2e-3)
    losses = []
    for _ in range(20):
        misfit = (pinn(batch).counts + 1).sqrt() - (batch.counts + 1).sqrt()
        loss = misfit[:, batch.mask].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


@pytest.mark.parametrize("field", ["passes", "overlapping"])
def test_another_probe_changes_no_choice(field):
    pinn = pinn_of(passes=4)
    pinn.overlapping = False
    assert getattr(pinn.behind(pinn.probe, 1.0), field) == getattr(pinn, field)


@pytest.mark.parametrize("radius", [2, 4, 6])
def test_a_beam_stop_takes_no_light_from_the_probe(radius):
    """The network has seen objects about as bright as a transparent one; behind a stop they are no brighter."""
    whole = small_scan(photons=1e6)
    y, x = np.indices((32, 32)) - 16
    mask = np.hypot(y, x) >= radius
    stopped = dataclasses.replace(whole, mask=mask, patterns=whole.patterns * mask)
    assert stopped.counts_per_frame().mean() < 0.7 * whole.counts_per_frame().mean()
    expected = float(probe_weight(Constants.of(whole).probe).sum())
    unrolled, lean = (ModelConfig(N=32, architecture=name) for name in ("unrolled", "lean"))
    trained = Constants.for_network(unrolled, stopped)
    for probe in (trained.probe, behind_probe_of(pinn_of(), stopped).probe.detach()):
        assert float(probe_weight(probe).sum()) == pytest.approx(expected, rel=0.3)
    # The scale of patterns is that of what was counted; other networks solve for the flux.
    assert trained.input_scale == Constants.of(stopped).input_scale
    assert torch.equal(Constants.for_network(lean, stopped).probe, Constants.of(stopped).probe)
    assert torch.equal(Constants.for_network(unrolled, whole).probe, Constants.of(whole).probe)
