"""Choices that can't be used are refused in one line, and all others pass."""

import pytest

from ptycho.base.errors import ConfigError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_inference, validate_model, validate_training


def refusal(validate, *configs):
    with pytest.raises(ConfigError) as refused:
        validate(*configs)
    message = str(refused.value)
    assert "\n" not in message
    assert "; expected " in message
    assert message.count(";") >= 2
    return message


@pytest.mark.parametrize("N", [32, 40, 64, 128, 256])
@pytest.mark.parametrize("gridsize", [1, 2, 3, 4, 5])
def test_the_defaults_can_train(N, gridsize):
    validate_training(TrainingConfig(ModelConfig(N=N, gridsize=gridsize)), PyTorchExecutionConfig())


@pytest.mark.parametrize(
    "choice",
    [
        {"N": 0},
        {"N": 24},
        {"N": 100},
        {"N": 64.0},
        {"gridsize": 0},
        {"n_filters_scale": 0},
        {"lean_width": 0},
        {"passes": 0},
        {"probe_scale": 0},
        {"probe_mask_diameter": 0.0},
        {"gaussian_smoothing_sigma": -1.0},
        {"max_hidden_channels": 0},
        {"model_type": "unsupervised"},
        {"amp_activation": "silu"},
        {"architecture": "fno"},
    ],
)
def test_a_model_that_cannot_be_built_is_refused(choice):
    (name,) = choice
    for validate, config in (
        (validate_model, ModelConfig(**choice)),
        (validate_training, TrainingConfig(ModelConfig(**choice))),
    ):
        assert refusal(validate, config).startswith(f"{name} is {choice[name]!r};")


@pytest.mark.parametrize(
    "choice",
    [
        {"batch_size": 0},
        {"batch_size": True},
        {"canvas_size": 0},
        {"nepochs": 0},
        {"nepochs": "20"},
        {"validation_fraction": 1.0},
        {"validation_fraction": -0.1},
        {"nphotons": 0},
        {"nphotons": float("nan")},
        {"nll_weight": 1.5},
        {"mae_weight": -0.1},
        {"realspace_weight": -1.0},
        {"thinning": 1.0},
        {"thinning": -0.1},
        {"n_groups": 0},
        {"n_subsample": 0},
        {"subsample_seed": -1},
        {"subsample_seed": 2**32},
        {"neighbor_count": 0},
        {"gradient_clip_val": -1.0},
        {"momentum": 1.0},
        {"adam_beta1": 1.0},
        {"weight_decay": -1.0},
        {"lr_min_ratio": 0.0},
        {"lr_warmup_epochs": -1},
        {"plateau_factor": 1.0},
        {"plateau_patience": -1},
        {"optimizer": "adamm"},
        {"scheduler": "Cosine"},
        {"gradient_clip_algorithm": "l2"},
        {"torch_loss_mode": "nll"},
        {"backend": "jax"},
    ],
)
def test_a_training_choice_out_of_range_is_refused(choice):
    (name,) = choice
    config = TrainingConfig(ModelConfig())
    setattr(config, name, choice[name])
    assert refusal(validate_training, config).startswith(f"{name} is {choice[name]!r};")


def test_the_nearest_valid_word_is_named():
    config = TrainingConfig(ModelConfig(), optimizer="adamm")
    assert refusal(validate_training, config).endswith("(did you mean 'adam'?)")


def test_a_size_that_does_not_fit_the_network_names_those_beside_it():
    assert "104" in refusal(validate_model, ModelConfig(N=100))


def test_learning_from_labels_can_train():
    validate_training(TrainingConfig(ModelConfig(model_type="supervised")))


def test_an_unrolled_network_learns_from_counts_of_patterns_one_by_one_behind_a_probe_that_stays():
    unrolled = {"architecture": "unrolled"}
    validate_training(TrainingConfig(ModelConfig(**unrolled)))
    assert refusal(validate_model, ModelConfig(**unrolled, gridsize=2)).startswith("gridsize is 2 with the unrolled")
    supervised = ModelConfig(**unrolled, model_type="supervised")
    assert refusal(validate_model, supervised).startswith('model_type is "supervised" with the unrolled')
    config = TrainingConfig(ModelConfig(**unrolled), probe_trainable=True)
    assert refusal(validate_training, config).startswith("probe_trainable is set with the unrolled")


def test_a_loss_that_compares_with_nothing_is_refused():
    config = TrainingConfig(ModelConfig(), nll_weight=0.0, mae_weight=0.0)
    assert "nll_weight and mae_weight" in refusal(validate_training, config)
    config.torch_loss_mode = "mae"
    validate_training(config)


def test_a_real_space_weight_that_is_multiplied_by_zero_is_refused():
    config = TrainingConfig(ModelConfig(), realspace_mae_weight=0.1)
    assert "realspace_weight" in refusal(validate_training, config)
    config.realspace_weight = 1.0
    validate_training(config)


def test_a_warm_up_longer_than_the_run_is_refused():
    config = TrainingConfig(ModelConfig(), nepochs=5, lr_warmup_epochs=6)
    assert "lr_warmup_epochs is 6" in refusal(validate_training, config)


def test_a_machine_choice_assigned_later_is_checked_too():
    execution = PyTorchExecutionConfig()
    execution.num_workers = -1
    assert refusal(validate_training, TrainingConfig(ModelConfig()), execution).startswith("num_workers is -1")


def inference(path):
    return InferenceConfig(ModelConfig(), path, "scan.npz")


@pytest.mark.parametrize("name", ["wts.h5.zip", "model.zip", "manifest.json", "other"])
def test_a_reconstruction_needs_a_trained_network(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    validate_inference(inference(tmp_path / name))
    validate_inference(inference(str(tmp_path / name)))
    if name == "other":
        assert "without wts.h5.zip" in refusal(validate_inference, inference(tmp_path))
    else:
        validate_inference(inference(tmp_path))
    assert "does not exist" in refusal(validate_inference, inference(tmp_path / "elsewhere"))


def test_a_path_without_its_zip_ending_is_found(tmp_path):
    (tmp_path / "wts.h5.zip").write_bytes(b"")
    validate_inference(inference(tmp_path / "wts.h5"))


def test_a_reconstruction_checks_its_groups(tmp_path):
    config = inference(tmp_path)
    config.n_groups = 0
    assert refusal(validate_inference, config).startswith("n_groups is 0")
