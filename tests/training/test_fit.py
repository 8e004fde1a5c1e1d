"""Training on a small scan: it learns, repeats itself, goes on after an interruption, and says what is missing."""

import csv
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ptycho.base.errors import BackendNotInstalledError, ConfigError, DataError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.training.callbacks import Curves
from ptycho_torch.training.fit import fit, prepare
from tests.laws.scans import small_scan

SCAN = small_scan()


def config_of(folder, gridsize=1, **choices):
    model = ModelConfig(N=32, gridsize=gridsize, lean_width=8)
    choices = {"batch_size": 10, "nepochs": 2, "validation_fraction": 0.1} | choices
    return TrainingConfig(**({"model": model, "output_dir": folder} | choices))


def execution_of(**choices):
    return PyTorchExecutionConfig(**({"accelerator": "cpu", "learning_rate": 3e-3} | choices))


def weights_of(done):
    return {name: tensor.clone() for name, tensor in done.pinn.state_dict().items()}


def steps_in(folder):
    with (folder / "logs" / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def assert_same_weights(one, other):
    for name, tensor in weights_of(one).items():
        assert torch.equal(tensor, other.pinn.state_dict()[name]), name


def test_training_lowers_the_loss_and_keeps_its_curves(tmp_path):
    done = fit(config_of(tmp_path, nepochs=8), execution_of(), SCAN)
    assert len(done.history["train_loss"]) == len(done.history["val_loss"]) == 8
    assert done.history["train_loss"][-1] < 0.5 * done.history["train_loss"][0]
    assert done.history["val_loss"][-1] < done.history["val_loss"][0]
    assert done.n_patterns == 8 * 4 * 10
    assert done.seconds > 0
    assert not done.pinn.training
    with (tmp_path / "logs" / "metrics.csv").open() as file:
        logged = [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]
    assert logged == pytest.approx(done.history["val_loss"], rel=1e-5)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert len(list((tmp_path / "checkpoints").glob("epoch=*"))) == 1


def test_a_seed_decides_the_training(tmp_path):
    once, again, other = (
        fit(config_of(tmp_path / str(i), subsample_seed=seed), execution_of(), SCAN) for i, seed in enumerate((5, 5, 6))
    )
    assert once.history == again.history
    assert_same_weights(once, again)
    assert once.history != other.history


class Interruption(Exception):
    pass


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"thinning": 0.4},
        pytest.param({"gridsize": 2, "validation_fraction": 0.0}, marks=pytest.mark.slow),
    ],
    ids=["patterns", "thinned", "groups without validation"],
)
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, monkeypatch, choices):
    """The same losses and the same weights: schedule, optimiser, averaged weights and drawn steps all go on."""
    whole = fit(config_of(tmp_path / "whole", nepochs=4, **choices), execution_of(), SCAN)
    config = config_of(tmp_path / "interrupted", nepochs=4, **choices)
    start, epochs = Curves.on_train_epoch_start, itertools.count()

    def interrupted(self, trainer, module):
        if next(epochs) == 2:
            raise Interruption
        start(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(Curves, "on_train_epoch_start", interrupted)
        with pytest.raises(Interruption):
            fit(config, execution_of(), SCAN)
    resumed = fit(config, execution_of(), SCAN, resume=tmp_path / "interrupted" / "checkpoints" / "last.ckpt")
    assert resumed.history == whole.history
    assert resumed.n_patterns == whole.n_patterns
    assert steps_in(tmp_path / "interrupted") == steps_in(tmp_path / "whole")
    assert_same_weights(resumed, whole)


def test_a_checkpoint_of_an_earlier_version_that_kept_no_steps_is_gone_on_with(tmp_path):
    execution = execution_of(accum_steps=3)
    begun = prepare(config_of(tmp_path, nepochs=2), execution, SCAN, folder=tmp_path)
    begun.train()
    assert steps_in(tmp_path) == [1, 3], "four regions an epoch, three a step"
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    del state["callbacks"][begun.curves.state_key]["steps"]
    torch.save(state | {"finished": False}, checkpoint)
    fit(config_of(tmp_path, nepochs=3), execution, SCAN, resume=checkpoint)
    assert steps_in(tmp_path) == [1, 3, 5]


def test_another_network_can_not_be_resumed(tmp_path):
    fit(config_of(tmp_path), execution_of(), SCAN)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    wider = config_of(tmp_path / "wider", model=ModelConfig(N=32, lean_width=16))
    with pytest.raises(ConfigError, match=r"last\.ckpt was trained with another network; .*give ") as refused:
        fit(wider, execution_of(), SCAN, resume=checkpoint)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"no checkpoint", lambda raw: b""])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, damage):
    fit(config_of(tmp_path), execution_of(), SCAN)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(ConfigError, match=r"last\.ckpt.*start again with --overwrite") as refused:
        fit(config_of(tmp_path), execution_of(), SCAN, resume=checkpoint)
    assert "\n" not in str(refused.value)


def test_the_probe_is_trained_when_asked_and_only_then(tmp_path):
    before = Constants.of(SCAN).probe
    kept = fit(config_of(tmp_path / "kept"), execution_of(), SCAN).pinn.probe
    trained = fit(config_of(tmp_path / "trained", probe_trainable=True), execution_of(), SCAN).pinn.probe
    torch.testing.assert_close(kept.detach(), before)
    assert float((trained.detach() - before).abs().max()) > 1e-3 * float(before.abs().max())


def test_another_scan_may_judge(tmp_path):
    done = fit(config_of(tmp_path), execution_of(), SCAN, small_scan(seed=9, n_positions=12))
    assert len(done.history["val_loss"]) == 2


def test_without_held_out_patterns_the_training_loss_chooses_the_checkpoint(tmp_path):
    done = fit(config_of(tmp_path, validation_fraction=0.0), execution_of(), SCAN)
    assert "val_loss" not in done.history
    (best,) = (tmp_path / "checkpoints").glob("epoch=*train_loss=*")
    assert best.is_file()


@pytest.mark.parametrize("gridsize", [2, *(pytest.param(between, marks=pytest.mark.slow) for between in (3, 4)), 5])
@pytest.mark.parametrize("architecture", ["lean", "cnn"])
def test_groups_are_learned(tmp_path, architecture, gridsize):
    model = ModelConfig(N=64, gridsize=gridsize, architecture=architecture, lean_width=8, n_filters_scale=1)
    config = config_of(tmp_path, model=model, batch_size=2, n_groups=6, nepochs=8, validation_fraction=0.0)
    done = fit(config, execution_of(learning_rate=1e-3), small_scan(N=64, n_positions=30))
    assert done.history["train_loss"][-1] < done.history["train_loss"][0]
    assert done.n_patterns == 8 * 6 * gridsize**2


def test_passes_over_a_canvas_are_learned(tmp_path):
    model = ModelConfig(N=32, architecture="unrolled", lean_width=8, passes=2)
    done = fit(config_of(tmp_path, model=model, nepochs=8), execution_of(), SCAN)
    assert done.history["train_loss"][-1] < 0.9 * done.history["train_loss"][0]
    assert done.history["val_loss"][-1] < done.history["val_loss"][0]


@pytest.mark.parametrize("gridsize", [1, 2, 3])
def test_labels_are_learned_from_and_held_out_ones_judge(tmp_path, gridsize):
    model = ModelConfig(N=32, gridsize=gridsize, lean_width=8, model_type="supervised")
    done = fit(config_of(tmp_path, model=model, nepochs=8, validation_fraction=0.25), execution_of(), SCAN)
    assert done.history.keys() == {"train_loss", "val_loss"}
    for losses in done.history.values():
        assert 0 < losses[-1] < 0.5 * losses[0] < 0.5


def test_counts_are_split_anew_in_every_step_of_training_and_alike_in_every_validation(tmp_path):
    """One batch again and again: only what is drawn can make its loss differ while nothing is learnt."""
    choices = {"batch_size": 40, "nepochs": 4, "validation_fraction": 0.25, "sequential_sampling": True}
    choices["intensity_scale_trainable"] = False
    still = execution_of(learning_rate=1e-12)
    thinned, whole = (fit(config_of(tmp_path / str(t), thinning=t, **choices), still, SCAN).history for t in (0.3, 0.0))
    assert len(set(thinned["train_loss"])) == 4
    assert thinned["val_loss"][0] != whole["val_loss"][0]
    for unchanging in (whole["train_loss"], whole["val_loss"], thinned["val_loss"]):
        assert np.ptp(unchanging) < 0.01 * np.ptp(thinned["train_loss"])


def test_what_is_no_number_of_photons_is_not_split(tmp_path):
    fractions = dataclasses.replace(SCAN, patterns=1.7 * SCAN.patterns.astype(np.float32))
    with pytest.raises(DataError, match=r"found .* counts in a pixel of the training scan.*set thinning to 0"):
        fit(config_of(tmp_path / "run", thinning=0.2), execution_of(), fractions)
    with pytest.raises(DataError, match=r"found .* counts in a pixel of the validation scan"):
        fit(config_of(tmp_path / "run", thinning=0.2), execution_of(), SCAN, fractions)
    assert not (tmp_path / "run").exists()
    amplitudes = dataclasses.replace(
        SCAN, patterns=np.sqrt(SCAN.patterns.astype(np.float32)) / 7, quantity="amplitude", count_scale=7.0
    )
    fit(config_of(tmp_path, thinning=0.2, nepochs=1), execution_of(), amplitudes)


def test_a_scan_without_labels_is_refused_before_anything_is_written(tmp_path):
    config = config_of(tmp_path / "run", model=ModelConfig(N=32, lean_width=8, model_type="supervised"))
    blank = dataclasses.replace(SCAN, object_=None)
    for scans, named in (((blank,), "training scan"), ((SCAN, blank), "validation scan")):
        with pytest.raises(DataError, match=rf"no true patches in the {named}, expected objectGuess, or Y or label"):
            fit(config, execution_of(), *scans)
    assert not (tmp_path / "run").exists()
    labelled = dataclasses.replace(blank, labels=np.ones(SCAN.patterns.shape, np.complex64))
    assert fit(config, execution_of(), labelled, labelled).history["train_loss"][0] < 1


def test_mixed_precision_learns_too(tmp_path):
    done = fit(config_of(tmp_path, nepochs=4), execution_of(precision="bf16-mixed"), SCAN)
    assert done.history["train_loss"][-1] < done.history["train_loss"][0]
    assert all(parameter.dtype == torch.float32 for parameter in done.pinn.parameters())


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_by_the_module(tmp_path, algorithm):
    """Plain descent of rate r moves a weight by r g: with |g| <= c no weight goes further than n r c in n steps."""
    limit, rate, n_steps = 0.1, 1e-4, 2 * 4
    choices = {"optimizer": "sgd", "momentum": 0.0, "gradient_clip_algorithm": algorithm, "gradient_clip_val": limit}
    config = config_of(tmp_path / "clipped", **choices)
    torch.manual_seed(42)
    start = dict(build(config.model, config, Constants.of(SCAN)).named_parameters())

    def moved(done):
        apart = [(parameter - start[name]).detach().flatten() for name, parameter in done.pinn.named_parameters()]
        return torch.linalg.vector_norm(torch.cat(apart), 2 if algorithm == "norm" else torch.inf).item()

    clipped = moved(fit(config, execution_of(learning_rate=rate), SCAN))
    assert 0.1 * n_steps * rate * limit < clipped <= n_steps * rate * limit * (1 + 1e-3)
    config.gradient_clip_val, config.output_dir = 0.0, tmp_path / "free"
    assert moved(fit(config, execution_of(learning_rate=rate), SCAN)) > 3 * clipped


def test_a_training_that_diverges_says_so(tmp_path):
    config = config_of(tmp_path, optimizer="sgd", gradient_clip_val=0.0)
    with pytest.raises(
        ConfigError, match=r"diverged: the loss was nan in epoch \d; .*lower learning_rate \(it is 10\)"
    ):
        fit(config, execution_of(learning_rate=10.0), SCAN)


def test_adaptive_clipping_learns(tmp_path):
    config = config_of(tmp_path, gradient_clip_algorithm="agc", gradient_clip_val=0.05, nepochs=4)
    done = fit(config, execution_of(), SCAN)
    assert done.history["train_loss"][-1] < done.history["train_loss"][0]


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_training_asked_of_the_older_engine_says_once_who_does_it(tmp_path, caplog, backend):
    config = config_of(tmp_path, backend=backend, nepochs=1)
    validate_training(config)
    fit(config, execution_of(), SCAN)
    said = [record.getMessage() for record in caplog.records if "backend is tensorflow" in record.getMessage()]
    assert len(said) == (backend == "tensorflow")
    assert all("PyTorch, does the work" in line and "ptycho convert" in line for line in said)


def test_the_pattern_size_must_be_the_configured_one(tmp_path):
    other = small_scan(N=64, n_positions=4)
    with pytest.raises(DataError, match=r"64 x 64 px but model\.N is 32; set model\.N to 64"):
        fit(config_of(tmp_path), execution_of(), other)
    with pytest.raises(DataError, match=r"validation scan are 64 x 64 px, expected 32 x 32"):
        fit(config_of(tmp_path), execution_of(), SCAN, other)


def test_missing_tensorboard_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    from lightning.fabric.loggers import tensorboard

    monkeypatch.setattr(tensorboard, "_TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr(tensorboard, "_TENSORBOARDX_AVAILABLE", False)
    with pytest.raises(BackendNotInstalledError, match=r'tensorboard is not installed.*"ptychopinn\[track\]"'):
        fit(config_of(tmp_path), execution_of(logger_backend="tensorboard"), SCAN)


def test_training_writes_nowhere_else_and_leaves_numpy_s_generator_of_the_caller_alone(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    fit(config_of(tmp_path / "run"), execution_of(enable_progress_bar=True), SCAN)
    assert not list(elsewhere.iterdir())


def test_training_on_a_scan_with_dead_pixels_does_not_hear_them(tmp_path):
    scan = small_scan(n_dead_pixels=60)
    wild = dataclasses.replace(scan, patterns=np.where(scan.mask, scan.patterns, 60_000).astype(scan.patterns.dtype))
    quiet, loud = (fit(config_of(tmp_path / str(i)), execution_of(), made) for i, made in enumerate((scan, wild)))
    assert quiet.history == loud.history


def test_a_strategy_that_does_not_exist_is_refused_in_one_line(tmp_path):
    execution = execution_of()
    execution.strategy = "foo"
    with pytest.raises(ConfigError, match=r"don't go together .*change execution") as refused:
        fit(config_of(tmp_path), execution, SCAN)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "choice", [{"object_big": False}, {"probe_mask": True}, {"probe_mask": True, "probe_mask_diameter": 20.0}]
)
def test_choices_of_the_model_change_what_is_learnt(tmp_path, choice):
    plain = fit(config_of(tmp_path / "plain"), execution_of(), SCAN)
    chosen = fit(config_of(tmp_path / "chosen", model=ModelConfig(N=32, lean_width=8, **choice)), execution_of(), SCAN)
    assert plain.history != chosen.history
