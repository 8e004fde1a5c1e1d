"""The forecast of a training takes the steps that the training would take."""

import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.training.estimate import estimate
from tests.laws.scans import small_scan

SCAN = small_scan()


@pytest.mark.parametrize("model_type", ["pinn", "supervised"])
@pytest.mark.parametrize("gridsize", [1, 2, 3])
def test_a_forecast_knows_groups_and_labels(gridsize, model_type):
    model = ModelConfig(N=32, gridsize=gridsize, model_type=model_type, lean_width=8)
    config = TrainingConfig(model, batch_size=5, nepochs=60, validation_fraction=0.0)
    before = torch.get_rng_state()
    found = estimate(SCAN, config, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert found.device == "cpu"
    # An epoch is 8 steps of 5 patterns or groups, and 60 epochs take as many minutes as one takes seconds.
    patterns = 8 * 5 * gridsize**2
    assert found.minutes == pytest.approx(patterns / found.patterns_per_second)
