"""What training minimises: the distance from labels, in the frame in which the network speaks."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from ptycho.assembly.bilinear import cut
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.optics.probe import probe_intensity
from ptycho.optics.shift import fourier_shift
from ptycho.simulation.simulate import expected_counts
from ptycho_torch.data.batch import Step
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.thinning import RegionThinning
from ptycho_torch.objectives.objective import Objective
from ptycho_torch.pinn.build import Constants, build, loss_of
from ptycho_torch.pinn.loss import CountLoss
from ptycho_torch.pinn.pinn import Prediction, PtychoPINN
from tests.laws.scans import small_scan

SCAN = small_scan(n_modes=2, photons=1e6)
SUPERVISED = ModelConfig(N=32, model_type="supervised", lean_width=8)
GROUPS = torch.from_numpy(np.random.default_rng(0).permutation(40)[:36].reshape(9, 4))


class Oracle(nn.Module):
    """Says the patches that it was given, in their order."""

    def __init__(self, patches):
        super().__init__()
        self.patches = nn.Parameter(torch.view_as_real(torch.as_tensor(patches)))

    def forward(self, amplitude):
        return torch.view_as_complex(self.patches).view(amplitude.shape)


def at_whole_pixels(scan=SCAN):
    return dataclasses.replace(scan, positions=np.round(scan.positions))


def supervised(scan):
    return loss_of(SUPERVISED, scan, Scan.of(scan), Objective())


def error(scan, patches, groups=GROUPS):
    """The loss of a network that says ``patches`` (position, y, x)."""
    constants = Constants.of(scan)
    said = np.asarray(patches)[groups.reshape(-1)].astype(np.complex64)
    pinn = PtychoPINN(Oracle(said), constants.probe, constants.input_scale, groups.shape[1], back_projected=False)
    return float(supervised(scan)(pinn.eval(), Step(groups)).detach())


def turned(scan):
    """The true object with the free phase that labels are given: real and positive in the mean over the light."""
    patches = cut(scan.object_, np.floor(scan.positions), scan.size)
    mean = (probe_intensity(scan.probe) * patches).sum()
    return (scan.object_ * np.conj(mean) / abs(mean)).astype(np.complex64)


def test_the_truth_costs_nothing_in_whatever_groups_it_is_told():
    scan = at_whole_pixels()
    truth = cut(turned(scan), scan.positions, scan.size)
    for groups in (GROUPS, GROUPS.flip(0), GROUPS.flip(1), GROUPS[:, :1]):
        assert error(scan, truth, groups) < 1e-10
        assert error(scan, np.roll(truth, 1, axis=0), groups) > 1e-3


def test_the_network_speaks_in_the_frame_of_the_position():
    """Between pixels the object has to be moved by minus the remainder, and by nothing else."""
    whole = cut(turned(SCAN), np.floor(SCAN.positions), SCAN.size)
    moved = {sign: error(SCAN, fourier_shift(whole, sign * (SCAN.positions % 1))) for sign in (-1, 0, 1)}
    assert moved[-1] < 0.3 * moved[0] < 0.3 * moved[1]


def test_the_constant_phase_of_the_labels_is_not_seen():
    patches = cut(SCAN.object_, np.round(SCAN.positions), SCAN.size)
    other = dataclasses.replace(SCAN, object_=(np.exp(2.5j) * SCAN.object_).astype(np.complex64))
    assert error(other, patches) == pytest.approx(error(SCAN, patches), rel=1e-4)


def test_the_scale_of_the_labels_is_theirs():
    patches = cut(turned(SCAN), np.round(SCAN.positions), SCAN.size)
    other = dataclasses.replace(SCAN, object_=3 * SCAN.object_)
    assert error(other, 3 * patches) == pytest.approx(error(SCAN, patches), rel=1e-4)
    assert error(other, patches) > 10 * error(SCAN, patches)


def test_labels_of_the_file_and_of_the_object_are_one():
    scan = at_whole_pixels()
    patches = cut(scan.object_, scan.positions, scan.size)
    stored = dataclasses.replace(scan, labels=patches, object_=None)
    assert error(stored, 0.9 * patches) == pytest.approx(error(scan, 0.9 * patches), rel=1e-5)


def test_what_lies_outside_the_object_is_not_asked_for():
    scan = at_whole_pixels()
    scan = dataclasses.replace(scan, positions=scan.positions - [20, 0])
    patches = cut(scan.object_, scan.positions, scan.size)
    outside = cut(np.ones_like(scan.object_), scan.positions, scan.size) == 0
    assert outside.any()
    assert error(scan, np.where(outside, 100, patches)) == pytest.approx(error(scan, patches), rel=1e-5)


def test_training_learns_the_flux_that_the_labels_imply_and_judging_does_not():
    """The probe times the root of the flux is the true one, although its power was set to the mean counts."""
    pinn = build(SUPERVISED, TrainingConfig(SUPERVISED), Constants.of(SCAN))
    loss = supervised(SCAN)
    loss(pinn.eval(), Step(GROUPS))
    assert float(pinn.flux) == 1
    loss(pinn.train(), Step(GROUPS)).backward()
    power = float(pinn.flux) * float(pinn.probe.abs().square().sum())
    assert power == pytest.approx(probe_intensity(SCAN.probe).sum(), rel=0.01)
    assert power > 1.05 * SCAN.counts_per_frame().mean()
    assert all(parameter.grad is not None for parameter in pinn.parameters() if parameter.requires_grad)


def test_patches_that_leave_the_object_do_not_tell_the_flux():
    scan = dataclasses.replace(SCAN, object_=SCAN.object_[: SCAN.object_.shape[0] // 2])
    whole, half = (build(SUPERVISED, TrainingConfig(SUPERVISED), Constants.of(SCAN)).train() for _ in range(2))
    supervised(SCAN)(whole, Step(GROUPS))
    supervised(scan)(half, Step(GROUPS))
    assert float(half.flux_sums[0]) < 0.7 * float(whole.flux_sums[0])
    assert float(half.flux) == pytest.approx(float(whole.flux), rel=0.01)


def test_labels_do_not_train_the_probe():
    pinn = build(SUPERVISED, TrainingConfig(SUPERVISED, probe_trainable=True), Constants.of(SCAN))
    assert not pinn.probe_parts.requires_grad


def test_counts_are_what_is_learnt_from_without_labels():
    scan, objective = Scan.of(SCAN), Objective(0.3, 0.7)
    assert loss_of(ModelConfig(N=32), SCAN, scan, objective) == CountLoss(scan, objective)


class Says(PtychoPINN):
    """Expects what ``of`` makes of the counts that it is shown."""

    def __init__(self, of):
        constants = Constants.of(SCAN)
        super().__init__(nn.Identity(), constants.probe, constants.input_scale, back_projected=False)
        self.of = of

    def forward(self, batch):
        nothing = torch.ones(4 * len(GROUPS), 4)
        return Prediction(self.of(batch.counts), nothing.to(torch.complex64), nothing)


DIM = small_scan(photons=1e3)


def dim_losses(of, share, n=20):
    """The losses of one batch at low dose, over several splits."""
    thinning = RegionThinning(share, torch.device("cpu")) if share else None
    loss, says, regions = CountLoss(Scan.of(DIM), Objective(), thinning), Says(of), len(GROUPS)
    found = []
    for draw in range(n):
        if thinning is not None:
            thinning.seed(range(regions * draw, regions * (draw + 1)))
        found.append(loss(says, Step(GROUPS)))
    return torch.stack(found)


def test_noise_is_worth_repeating_to_who_is_judged_by_it_and_to_no_other():
    members = GROUPS.reshape(-1).numpy()
    expected = expected_counts(DIM.object_, DIM.probe, DIM.positions[members]).astype(np.float32)
    truth = torch.from_numpy(expected)

    def right(_counts):
        return truth

    def half_noise(counts):
        return (truth + counts) / 2

    assert dim_losses(half_noise, 0).mean() < 0.8 * dim_losses(right, 0).mean()
    for share in (0.1, 0.5):
        assert dim_losses(half_noise, share).mean() > dim_losses(right, share).mean()


def test_a_part_is_shown_as_bright_as_the_whole_and_judged_as_dim_as_it_is():
    """The flux that is most likely is the same for a part as for all counts: what is shown may be compared."""
    seen = []
    dim_losses(lambda counts: seen.append(counts) or counts, 0.6)
    whole = Scan.of(DIM).counts(GROUPS.reshape(-1))
    assert float(torch.stack(seen).sum() / len(seen)) == pytest.approx(float(whole.sum()), rel=0.01)
    flux = torch.tensor(1.0, requires_grad=True)
    dim_losses(lambda _: flux * whole, 0.6).mean().backward()
    assert abs(float(flux.grad)) < 0.02 * float(whole.mean())
