"""The network joined with its physics."""

import pytest
import torch
from torch import nn

from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.data.batch import Step, gather
from ptycho_torch.data.scan import Scan
from ptycho_torch.objectives.objective import Objective
from ptycho_torch.physics.backprojection import BackProjection
from ptycho_torch.pinn.build import Constants, build, objective_of
from ptycho_torch.pinn.pinn import PtychoPINN
from tests.laws.contracts import random_complex
from tests.laws.scans import small_scan

SCAN = small_scan(n_modes=2)
GROUPS = torch.arange(12).view(3, 4)


class Transparent(nn.Module):
    """Says 1, times what it has learned."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, amplitude):
        return self.factor * torch.ones_like(amplitude, dtype=torch.complex64)


def pinn_of(acquisition=SCAN, network=None, **choices):
    constants = Constants.of(acquisition)
    choices = {"back_projected": False} | choices
    return PtychoPINN(network or Transparent(), constants.probe, constants.input_scale, **choices)


def test_a_transparent_object_behind_the_probe_gives_the_probe_s_counts():
    pinn = pinn_of(flux_solved=False)
    prediction = pinn(gather(Scan.of(SCAN), Step(GROUPS)))
    per_frame = prediction.counts.sum(dim=(1, 2))
    mean_counts = float(SCAN.counts_per_frame().mean(dtype=float))
    torch.testing.assert_close(per_frame, torch.full((12,), mean_counts), rtol=1e-4, atol=0)


def test_training_solves_the_flux_in_closed_form():
    pinn = pinn_of().train()
    with torch.no_grad():
        pinn.network.factor.fill_(0.2)
    batch = gather(Scan.of(SCAN), Step(GROUPS))
    prediction = pinn(batch)
    transparent = pinn_of(flux_solved=False)(batch).counts.sum().item()
    assert prediction.counts.sum().item() == pytest.approx(float(batch.counts.sum()), rel=1e-4)
    # The canvas is 1 (transparent) in the few pixels without light, so the network says 0.2 nearly everywhere.
    assert float(pinn.flux) == pytest.approx(25 * batch.counts.sum().item() / transparent, rel=0.01)


def test_judging_does_not_change_the_flux():
    pinn = pinn_of().eval()
    before = pinn.flux_sums.clone()
    prediction = pinn(gather(Scan.of(SCAN), Step(GROUPS)))
    assert torch.equal(pinn.flux_sums, before)
    assert float(pinn.flux) == 1.0
    assert prediction.counts.isfinite().all()


def test_a_flux_that_is_not_solved_stays_at_one():
    pinn = pinn_of(flux_solved=False).train()
    pinn(gather(Scan.of(SCAN), Step(GROUPS)))
    assert float(pinn.flux) == 1.0


def test_the_flux_of_training_is_an_average_over_batches():
    pinn, scan = pinn_of().train(), Scan.of(SCAN)
    ratios = []
    for groups in (torch.arange(8)[None], torch.arange(20, 28)[None]):
        before = pinn.flux_sums.clone()
        pinn(gather(scan, Step(groups)))
        added = pinn.flux_sums - 0.98 * before
        ratios.append(float(added[0] / added[1]))
    assert min(ratios) < float(pinn.flux) < max(ratios)


def test_the_probe_is_kept_in_counts_and_trains_only_when_asked():
    constants = Constants.of(SCAN)
    pinn = pinn_of()
    torch.testing.assert_close(pinn.probe.detach(), constants.probe)
    assert pinn.probe_parts.detach().square().sum(-1).mean() == pytest.approx(1, rel=1e-5)
    assert not pinn.probe.requires_grad
    assert pinn_of(probe_trainable=True).probe.requires_grad


def test_patches_keep_the_order_of_the_patterns_in_groups():
    seen = []

    class Watching(nn.Module):
        def forward(self, amplitude):
            seen.append(amplitude)
            return amplitude.to(torch.complex64)

    pinn = pinn_of(network=Watching(), channels=4)
    counts = Scan.of(SCAN).counts(GROUPS.reshape(-1))
    patches = pinn.predict(counts)
    assert seen[0].shape == (3, 4, 32, 32)
    torch.testing.assert_close(patches.real, counts.sqrt() * pinn.input_scale)


def test_a_network_that_looks_at_back_projections_sees_them_as_real_images():
    seen = []

    class Watching(nn.Module):
        def forward(self, images):
            seen.append(images)
            return torch.complex(images[:, :4], images[:, 4:])

    pinn = pinn_of(network=Watching(), channels=4, back_projected=True)
    counts = Scan.of(SCAN).counts(GROUPS.reshape(-1))
    patches = pinn.predict(counts)
    assert seen[0].shape == (3, 8, 32, 32)
    torch.testing.assert_close(patches, BackProjection(pinn.probe.detach())(counts), rtol=1e-4, atol=1e-6)


def test_older_clients_pass_positions_and_probe_that_change_nothing():
    torch.manual_seed(0)
    pinn = pinn_of(network=build_network(), back_projected=True)
    x = torch.rand(2, 1, 32, 32)
    plain = pinn.forward_predict(x)
    told = pinn.forward_predict(
        x / 2, torch.rand(2, 1, 1, 2), random_complex((32, 32), 0), torch.full((2, 1, 1, 1), 2.0)
    )
    torch.testing.assert_close(told, plain)
    assert plain.shape == x.shape
    counts = (x / pinn.input_scale).square()[:, 0]
    torch.testing.assert_close(pinn.predict(counts), plain[:, 0], rtol=1e-4, atol=1e-5)


def build_network():
    config = TrainingConfig(ModelConfig(N=32, lean_width=8))
    return build(config.model, config, Constants.of(SCAN)).network


def test_a_configuration_becomes_modules():
    model = ModelConfig(N=64, gridsize=2, architecture="cnn", n_filters_scale=1)
    pinn = build(model, TrainingConfig(model, probe_trainable=True, intensity_scale_trainable=False), constants_of_64())
    assert type(pinn.network).__name__ == "Cnn"
    assert pinn.channels == 4
    assert pinn.probe_parts.requires_grad
    assert not pinn.flux_solved


def constants_of_64():
    return Constants(random_complex((1, 64, 64), 0), 0.1)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, Objective()),
        ({"mae_weight": 0.4, "nll_weight": 0.6}, Objective(0.6, 0.4)),
        ({"torch_loss_mode": "mae"}, Objective(0.0, 1.0)),
        ({"torch_loss_mode": "mae", "mae_weight": 0.3}, Objective(0.0, 0.3)),
        ({"realspace_weight": 0.1, "realspace_mae_weight": 2.0}, Objective(real_space=0.1, deviation=2.0)),
        ({"torch_mae_pred_l2_match_target": True}, Objective(match_norm=True)),
    ],
)
def test_the_objective_is_what_the_configuration_says(choices, expected):
    assert objective_of(TrainingConfig(ModelConfig(), **choices)) == expected
