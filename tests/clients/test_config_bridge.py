"""From the choices of the older PyTorch library to the older dictionary, as scripts of that library go."""

import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from ptycho.base.errors import ConfigError
from ptycho.config.config import InferenceConfig, ModelConfig, TrainingConfig, update_legacy_dict
from ptycho_torch import config_params as params
from ptycho_torch.config_bridge import to_inference_config, to_model_config, to_training_config

NEEDED = {"nphotons": 1e9, "n_groups": 64, "train_data_file": "train.npz", "test_data_file": "test.npz"}


def model_of(**choices):
    return to_model_config(params.DataConfig(), params.ModelConfig(**choices))


def training_of(data=None, model=None, training=None, **overrides):
    data, model = data or params.DataConfig(), model or params.ModelConfig()
    network = to_model_config(data, model)
    return to_training_config(network, data, model, training or params.TrainingConfig(), NEEDED | overrides)


def without(name):
    return {key: value for key, value in NEEDED.items() if key != name}


# --- the network ------------------------------------------------------------------------------------------------------


def test_the_network_has_the_choices_of_both_sets():
    data = params.DataConfig(N=128, grid_size=(3, 3), probe_scale=2.0)
    model = params.ModelConfig(
        n_filters_scale=3, object_big=False, probe_big=False, architecture="cnn", fno_input_transform="sqrt"
    )
    assert to_model_config(data, model) == ModelConfig(
        N=128,
        gridsize=3,
        n_filters_scale=3,
        object_big=False,
        probe_big=False,
        architecture="cnn",
        fno_input_transform="sqrt",
        amp_activation="swish",
        probe_scale=2.0,
    )


@pytest.mark.parametrize(("mode", "ours"), [("Unsupervised", "pinn"), ("Supervised", "supervised")])
def test_modes(mode, ours):
    assert model_of(mode=mode).model_type == ours


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("silu", "swish"),
        ("SiLU", "swish"),
        ("sigmoid", "sigmoid"),
        ("swish", "swish"),
        ("softplus", "softplus"),
        ("relu", "relu"),
    ],
)
def test_activations(word, ours):
    assert model_of(amp_activation=word).amp_activation == ours


@pytest.mark.parametrize(
    ("mask", "ours"), [(None, False), (False, False), (True, True), (np.ones((64, 64)), True), ("disk", True)]
)
def test_a_mask_of_the_probe_is_a_yes(mask, ours):
    assert model_of(probe_mask=mask).probe_mask is ours


def test_a_mask_beside_the_flag_is_a_yes_too():
    assert model_of(probe_mask=False, probe_mask_tensor=np.ones((64, 64))).probe_mask is True


@pytest.mark.parametrize(
    ("data", "model", "fragment"),
    [
        ({"grid_size": (2, 3)}, {}, "Non-square grids"),
        ({}, {"mode": "pinn"}, "Invalid mode 'pinn'"),
        ({}, {"amp_activation": "gelu"}, "Unknown activation 'gelu'"),
    ],
)
def test_a_network_that_cannot_be_said(data, model, fragment):
    with pytest.raises(ConfigError, match=fragment):
        to_model_config(params.DataConfig(**data), params.ModelConfig(**model))


@pytest.mark.parametrize("grid", [(2,), 2, (2, 2, 2), None])
def test_a_grid_without_rows_and_columns(grid):
    data = params.DataConfig()
    data.grid_size = grid
    with pytest.raises(ConfigError, match=r"grid_size is .*; expected rows and columns"):
        to_model_config(data, params.ModelConfig())


# --- the training -----------------------------------------------------------------------------------------------------


def test_the_training_has_the_choices_of_all_sets():
    config = training_of(
        params.DataConfig(K=9, subsample_seed=5),
        params.ModelConfig(intensity_scale_trainable=True),
        params.TrainingConfig(epochs=7, batch_size=32, nll=False, scheduler="Cosine", gradient_clip_algorithm="agc"),
    )
    assert (config.neighbor_count, config.subsample_seed, config.nepochs, config.batch_size) == (9, 5, 7, 32)
    assert (config.nll_weight, config.mae_weight, config.realspace_weight, config.realspace_mae_weight) == (0, 0, 0, 0)
    assert (config.scheduler, config.gradient_clip_algorithm, config.backend) == ("WarmupCosine", "agc", "pytorch")
    assert config.intensity_scale_trainable
    assert config.positions_provided
    assert not config.probe_trainable
    assert not config.sequential_sampling
    assert (config.train_data_file, config.test_data_file) == (Path("train.npz"), Path("test.npz"))
    assert config.output_dir == Path("training_outputs")


def test_the_likelihood_has_the_weight_that_its_flag_says():
    assert training_of().nll_weight == 1


def test_groups_of_a_position_are_no_positions_to_keep():
    assert training_of(params.DataConfig(n_subsample=3)).n_subsample is None
    assert training_of(n_subsample=30).n_subsample == 30


def test_overrides_win_over_everything():
    config = training_of(nepochs=3, neighbor_count=11, optimizer="sgd", output_dir="elsewhere")
    assert (config.nepochs, config.neighbor_count, config.optimizer) == (3, 11, "sgd")
    assert config.output_dir == Path("elsewhere")
    changed = to_model_config(params.DataConfig(), params.ModelConfig(), {"N": 256, "model_type": "supervised"})
    assert (changed.N, changed.model_type) == (256, "supervised")


def test_an_override_that_is_no_field_is_named():
    with pytest.raises(ValueError, match=r"found overrides epochs.*TrainingConfig"):
        training_of(epochs=3)


@pytest.mark.parametrize(
    ("missing", "fragment"),
    [
        ("nphotons", "nphotons default divergence"),
        ("n_groups", "n_groups is required"),
        ("train_data_file", "train_data_file is required"),
    ],
)
def test_what_nobody_chose_is_asked_for(missing, fragment):
    data, model = params.DataConfig(), params.ModelConfig()
    with pytest.raises(ValueError, match=fragment):
        to_training_config(to_model_config(data, model), data, model, params.TrainingConfig(), without(missing))


def test_counts_are_not_overridden_by_nothing():
    for data in (params.DataConfig(), params.DataConfig(nphotons=2e5)):
        with pytest.raises(ConfigError, match="nphotons is required, found none"):
            training_of(data, nphotons=None)


def test_counts_that_somebody_chose_need_no_override():
    data, model = params.DataConfig(nphotons=2e5), params.ModelConfig()
    network = to_model_config(data, model)
    assert to_training_config(network, data, model, params.TrainingConfig(), without("nphotons")).nphotons == 2e5


def test_the_order_of_the_checks():
    """Counts, groups, the warning about the test file, the training file."""
    data, model = params.DataConfig(), params.ModelConfig()
    network, training = to_model_config(data, model), params.TrainingConfig()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="nphotons"):
            to_training_config(network, data, model, training)
        with pytest.raises(ValueError, match="n_groups"):
            to_training_config(network, data, model, training, {"nphotons": 1e9})
    given = {"nphotons": 1e9, "n_groups": 8}
    with (
        pytest.warns(UserWarning, match="test_data_file"),
        pytest.raises(ValueError, match="train_data_file"),
    ):
        to_training_config(network, data, model, training, given)


# --- the reconstruction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["model_path", "test_data_file"])
def test_a_reconstruction_needs_two_paths(missing):
    given = {"model_path": "run", "test_data_file": "test.npz"}
    del given[missing]
    with pytest.raises(ValueError, match=f"{missing} is required"):
        to_inference_config(model_of(), params.DataConfig(), params.InferenceConfig(), given)


def test_a_reconstruction():
    paths = {"model_path": "run", "test_data_file": "test.npz"}
    data = params.DataConfig(K=8, subsample_seed=2)
    config = to_inference_config(model_of(), data, params.InferenceConfig(), paths | {"n_groups": 5})
    assert config == InferenceConfig(
        model_of(), Path("run"), Path("test.npz"), n_groups=5, neighbor_count=8, subsample_seed=2
    )


# --- from end to end --------------------------------------------------------------------------------------------------


def test_the_older_dictionary_after_training_and_reconstruction():
    data = params.DataConfig(N=128, grid_size=(2, 2), K=7, nphotons=1e6, probe_scale=2.0, subsample_seed=42)
    model = params.ModelConfig(mode="Unsupervised", amp_activation="silu", n_filters_scale=2, probe_mask=None)
    training = params.TrainingConfig(epochs=100, batch_size=32, nll=True)
    network = to_model_config(data, model, {"gaussian_smoothing_sigma": 0.5})
    cfg = {}
    update_legacy_dict(
        cfg,
        to_training_config(
            network,
            data,
            model,
            training,
            {
                "n_groups": 256,
                "n_subsample": 1000,
                "train_data_file": Path("/data/train.npz"),
                "test_data_file": Path("/data/test.npz"),
            },
        ),
    )
    update_legacy_dict(
        cfg,
        to_inference_config(
            network,
            data,
            params.InferenceConfig(),
            {
                "model_path": Path("/models"),
                "test_data_file": Path("/data/infer.npz"),
                "n_groups": 128,
                "output_dir": Path("/out"),
            },
        ),
    )
    expected = {
        "N": 128,
        "amp_activation": "swish",
        "batch_size": 32,
        "debug": False,
        "gaussian_smoothing_sigma": 0.5,
        "gridsize": 2,
        "intensity_scale.trainable": False,
        "mae_weight": 0.0,
        "model_path": "/models",
        "model_type": "pinn",
        "n_filters_scale": 2,
        "n_groups": 128,
        "n_subsample": 1000,
        "neighbor_count": 7,
        "nepochs": 100,
        "nll_weight": 1.0,
        "nphotons": 1e6,
        "object.big": True,
        "output_prefix": "/out",
        "pad_object": True,
        "positions.provided": True,
        "probe.big": True,
        "probe.mask": False,
        "probe.trainable": False,
        "probe_scale": 2.0,
        "realspace_mae_weight": 0.0,
        "realspace_weight": 0.0,
        "sequential_sampling": False,
        "subsample_seed": 42,
        "test_data_file_path": "/data/infer.npz",
        "train_data_file_path": "/data/train.npz",
    }
    assert len(expected) == 31
    assert {key: cfg.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    "choices",
    [
        {"gradient_clip_algorithm": "value", "gradient_clip_val": 0.5},
        {"optimizer": "adamw", "weight_decay": 0.01, "adam_beta2": 0.99},
        {"optimizer": "sgd", "momentum": 0.5},
        {"scheduler": "ReduceLROnPlateau", "plateau_factor": 0.3, "plateau_patience": 4},
        {"scheduler": "WarmupCosine", "lr_warmup_epochs": 3, "lr_min_ratio": 0.2},
        {"torch_loss_mode": "mae", "torch_mae_pred_l2_match_target": True},
    ],
)
def test_choices_of_the_optimiser_arrive(choices):
    config = training_of(training=params.TrainingConfig(**choices))
    assert {name: getattr(config, name) for name in choices} == choices


def test_every_set_takes_a_field_of_ours_by_its_name():
    """Fields with one name on both sides are the ones that are carried, and no name is misspelt."""
    from ptycho.interop.translate import MODEL_FIELDS, TRAINING_FIELDS

    for names, ours, theirs in (
        (MODEL_FIELDS, ModelConfig, params.ModelConfig),
        (TRAINING_FIELDS, TrainingConfig, params.TrainingConfig),
    ):
        for cls in (ours, theirs):
            assert set(names) <= {field.name for field in fields(cls)}
