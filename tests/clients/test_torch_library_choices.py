"""What the choices of the older PyTorch library make this engine do."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptycho.base.errors import ConfigError
from ptycho.config.config import ModelConfig as OurModel
from ptycho.config.config import TrainingConfig as OurTraining
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.config_params import DataConfig, ModelConfig, TrainingConfig

torch = pytest.importorskip("torch")

from ptycho_torch.clients.library.choices import accelerator_of, choices_of, training_of  # noqa: E402

SCAN = simulate(Simulation(N=32, n_positions=30), np.random.default_rng(0))
FILES = {"train_file": Path("in/train_data.npz"), "test_file": Path("in/test_data.npz"), "folder": Path("out/run")}


def translated(data=None, model=None, **training):
    data = DataConfig(**(data or {}))
    made = TrainingConfig(**({"device": "cpu"} | training))
    return training_of(data, ModelConfig(**(model or {})), made, SCAN, **FILES)


def config_of(*args, **training):
    return translated(*args, **training)[0]


def test_the_size_of_the_patterns_is_the_scan_s():
    assert config_of({"N": 128}).model.N == 32


def test_files_and_folder_are_kept_with_the_choices():
    config = config_of()
    assert (config.train_data_file, config.test_data_file) == (FILES["train_file"], FILES["test_file"])
    assert config.output_dir == FILES["folder"]


@pytest.mark.parametrize(("C", "gridsize"), [(4, 2), (9, 3)])
def test_groups_are_drawn_for_every_position(C, gridsize):
    config = config_of({"C": C, "grid_size": (gridsize, gridsize), "n_subsample": 5})
    assert config.model.gridsize == gridsize
    assert config.n_groups == 5 * 30
    assert config.enable_oversampling
    assert config.n_subsample is None


def test_single_patterns_need_no_groups():
    config = config_of({"C": 1, "grid_size": (1, 1)})
    assert config.model.gridsize == 1
    assert not config.enable_oversampling


def test_a_number_of_groups_that_was_chosen_is_kept():
    assert config_of(n_groups=17).n_groups == 17


@pytest.mark.parametrize(("C", "K", "neighbours"), [(4, 6, 6), (4, 1, 3), (9, 6, 8), (1, 0, 1)])
def test_there_are_neighbours_enough_for_a_group(C, K, neighbours):
    side = round(C**0.5)
    assert config_of({"C": C, "grid_size": (side, side), "K": K}).neighbor_count == neighbours


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        ({"C": 3}, "C is 3; expected a square number"),
        ({"C": 0}, "C is 0; expected a square number"),
        ({"C": 1}, r"grid_size is \(2, 2\) while C is 1"),
        ({"grid_size": (1, 4)}, r"grid_size is \(1, 4\) while C is 4"),
    ],
)
def test_groups_that_are_no_square_are_refused(data, fragment):
    with pytest.raises(ConfigError, match=fragment):
        config_of(data)


@pytest.mark.parametrize(
    ("model", "training", "loss"),
    [
        ({}, {}, "poisson"),
        ({"loss_function": "MAE"}, {}, "mae"),
        ({}, {"nll": False}, "mae"),
        ({}, {"torch_loss_mode": "mae"}, "mae"),
        ({"loss_function": "MAE"}, {"nll": False}, "mae"),
    ],
)
def test_losses(model, training, loss):
    config = config_of(None, model, **training)
    assert config.torch_loss_mode == loss


@pytest.mark.parametrize(("mode", "ours"), [("Unsupervised", "pinn"), ("Supervised", "supervised")])
def test_modes(mode, ours):
    assert config_of(None, {"mode": mode}).model.model_type == ours


def test_an_unknown_loss_is_refused():
    with pytest.raises(ConfigError, match=r"Invalid loss_function 'L1'; expected one of 'Poisson', 'MAE'"):
        config_of(None, {"loss_function": "L1"})


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("Default", "Default"),
        ("Exponential", "Exponential"),
        ("Cosine", "WarmupCosine"),
        ("WarmupCosine", "WarmupCosine"),
        ("ReduceLROnPlateau", "ReduceLROnPlateau"),
    ],
)
def test_schedules(word, ours):
    assert config_of(scheduler=word).scheduler == ours


@pytest.mark.usefixtures("without_shape_checks")
def test_an_unknown_schedule_is_refused():
    with pytest.raises(ConfigError, match="scheduler is 'MultiStage'"):
        config_of(scheduler="MultiStage")


def test_the_end_of_the_learning_rate_has_two_names():
    older = config_of(lr_warmup_epochs=3, lr_min_ratio=0.3)
    newer = config_of(warmup_epochs=3, min_lr_ratio=0.3)
    both = config_of(lr_warmup_epochs=9, warmup_epochs=3, lr_min_ratio=0.9, min_lr_ratio=0.3)
    assert older == newer == both
    assert (older.lr_warmup_epochs, older.lr_min_ratio) == (3, 0.3)


def test_the_learning_rate_may_end_at_nothing():
    assert 0 < config_of(min_lr_ratio=0.0).lr_min_ratio < 1e-3


def test_the_optimiser_and_the_machine():
    config, execution = translated(
        epochs=7, batch_size=12, learning_rate=2e-4, optimizer="sgd", momentum=0.5, gradient_clip_val=2.0, accum_steps=3
    )
    assert (config.nepochs, config.batch_size, config.optimizer, config.momentum) == (7, 12, "sgd", 0.5)
    assert config.gradient_clip_val == 2.0
    assert (execution.learning_rate, execution.accum_steps, execution.accelerator) == (2e-4, 3, "cpu")
    assert (execution.num_workers, execution.devices, execution.strategy) == (0, 1, "auto")


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "auto"])
def test_one_device_needs_no_strategy(strategy, caplog):
    _, execution = translated(strategy=strategy, n_devices=1)
    assert (execution.devices, execution.strategy) == (1, "auto")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_more_devices_than_one_are_told(caplog):
    _, execution = translated(n_devices=4)
    assert execution.devices == 1
    assert "n_devices is 4: training uses one device" in caplog.text


def test_a_gpu_that_is_not_there_is_told(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [accelerator_of(device) for device in ("cuda", "cuda:1", "cpu", "auto")] == ["cpu", "cpu", "cpu", "auto"]
    assert caplog.text.count("no GPU was found") == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert accelerator_of("cuda:0") == "cuda"


@pytest.mark.usefixtures("without_shape_checks")
def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match="accelerator is 'quantum'"):
        translated(device="quantum")


def test_the_probe_stays_and_may_be_masked():
    assert not config_of().probe_trainable
    assert not config_of(None, {"probe_mask": None}).model.probe_mask
    masked = config_of(None, {"probe_mask": True, "probe_mask_diameter": 20.0})
    assert (masked.model.probe_mask, masked.model.probe_mask_diameter) == (True, 20.0)


def test_the_values_of_a_mask_are_told_not_to_be_read(caplog):
    assert config_of(None, {"probe_mask": torch.ones(32, 32)}).model.probe_mask
    assert "a disk masks the probe" in caplog.text


def test_choices_without_a_meaning_are_named_once(caplog):
    with caplog.at_level(logging.INFO, logger="ptycho_torch"):
        config_of({"x_bounds": (0.2, 0.8)}, {"eca_encoder": True, "amp_loss": "Total_Variation"}, stage_1_epochs=2)
    [record] = caplog.records
    assert record.levelno == logging.INFO
    for named in ("x_bounds=(0.2, 0.8)", "eca_encoder=True", "amp_loss='Total_Variation'", "stage_1_epochs=2"):
        assert named in record.message
    assert record.message.count("=") == 4


def test_what_the_client_always_passes_is_not_worth_a_line(caplog):
    with caplog.at_level(logging.INFO, logger="ptycho_torch"):
        config_of(
            {"N": 128},
            {"C_model": 4, "C_forward": 4, "decoder_last_amp_channels": 4, "probe_mask": None},
            orchestrator="Lightning",
            warmup_epochs=0,
            min_lr_ratio=0.1,
            strategy="ddp_spawn",
            notes="beam time",
        )
    assert not caplog.records


@pytest.mark.parametrize(
    "config",
    [
        OurTraining(OurModel(N=32)),
        OurTraining(OurModel(N=32, gridsize=2, architecture="cnn", amp_activation="swish"), neighbor_count=7),
        OurTraining(OurModel(N=32, probe_mask=True, object_big=False), torch_loss_mode="mae", subsample_seed=3),
        OurTraining(OurModel(N=32, model_type="supervised"), neighbor_count=2),
        OurTraining(OurModel(N=32), optimizer="adamw", nepochs=9, scheduler="Exponential", lr_min_ratio=0.2),
    ],
)
def test_the_choices_of_a_trained_network_lead_back_to_it(config):
    """Choices that a bundle implies describe the network and the training that wrote it."""
    config = replace(config, train_data_file=FILES["train_file"])
    data, model, training, _ = choices_of(config)
    again, _ = training_of(
        data,
        model,
        replace(training, device="cpu"),
        SCAN,
        train_file=config.train_data_file,
        test_file=config.test_data_file,
        folder=config.output_dir,
    )
    assert again == replace(config, enable_oversampling=config.model.gridsize > 1)
