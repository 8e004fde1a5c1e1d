"""The forecast of a training takes the steps that the training would take."""

import itertools

import pytest
import torch

from ptycho.base.errors import ConfigError
from ptycho.config.execution import PyTorchExecutionConfig
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
    found = estimate(SCAN, config, PyTorchExecutionConfig(accelerator="cpu"))
    assert torch.equal(torch.get_rng_state(), before)
    assert found.device == "cpu"
    # An epoch is 8 steps of 5 patterns or groups, and 60 epochs take as many minutes as one takes seconds.
    patterns = 8 * 5 * gridsize**2
    assert found.minutes == pytest.approx(patterns / found.patterns_per_second)


def test_validation_takes_its_time_too_and_memory_is_that_of_this_machine():
    config = TrainingConfig(ModelConfig(N=32, lean_width=8), batch_size=5, nepochs=60, validation_fraction=0.5)
    found = estimate(SCAN, config, PyTorchExecutionConfig(accelerator="cpu"))
    # 20 patterns train in 4 steps; the other 20 judge.
    assert found.minutes > 4 * 5 / found.patterns_per_second
    assert 0.05 < found.gibibytes < found.available_gibibytes


def test_every_step_of_validation_counts(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr("ptycho_torch.training.estimate._now", lambda _: float(next(ticks)))
    config = TrainingConfig(ModelConfig(N=32, lean_width=8), batch_size=5, nepochs=60, validation_fraction=0.5)
    found = estimate(SCAN, config, PyTorchExecutionConfig(accelerator="cpu"))
    # Of training and of validation a step takes a tick, and both have 4 of them.
    assert found.minutes == pytest.approx(4 + 4)


def test_a_step_that_does_not_fit_is_refused_by_name(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr("ptycho_torch.pinn.loss.CountLoss.__call__", full)
    config = TrainingConfig(ModelConfig(N=32, lean_width=8), batch_size=5)
    with pytest.raises(
        ConfigError, match=r"one step of batch_size 5 needs more memory than cpu has .*lower batch_size"
    ):
        estimate(SCAN, config, PyTorchExecutionConfig(accelerator="cpu"))
