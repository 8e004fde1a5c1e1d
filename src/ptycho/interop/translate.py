"""From the choices of the older PyTorch library to those of `ptycho.config`.

Overrides are fields of the result by name and win over everything else.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import isqrt
from pathlib import Path
from typing import Any

from ptycho.base.errors import ConfigError
from ptycho.config.checks import nearest
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.old_names import ACTIVATIONS, SCHEDULES
from ptycho.config.training import TrainingConfig
from ptycho.interop import torch_choices

Overrides = Mapping[str, Any] | None

MODES = {"Unsupervised": "pinn", "Supervised": "supervised"}
# Fields with one name and one meaning on both sides.
MODEL_FIELDS = (
    *("architecture", "n_filters_scale", "object_big", "probe_big", "pad_object", "gaussian_smoothing_sigma"),
    *("probe_mask_sigma", "probe_mask_diameter", "generator_output_mode", "learned_input_channels"),
    *("fno_modes", "fno_width", "fno_blocks", "fno_cnn_blocks", "fno_input_transform"),
    *("max_hidden_channels", "resnet_width"),
)
TRAINING_FIELDS = (
    *("batch_size", "torch_loss_mode", "torch_mae_pred_l2_match_target", "lr_warmup_epochs", "lr_min_ratio"),
    *("gradient_clip_val", "gradient_clip_algorithm", "optimizer", "momentum", "weight_decay"),
    *("adam_beta1", "adam_beta2", "plateau_factor", "plateau_patience", "plateau_min_lr", "plateau_threshold"),
)
# Counts a frame that DataConfig is born with: nobody chose them.
UNCHOSEN_NPHOTONS = torch_choices.DataConfig().nphotons


def to_model_config(
    data: torch_choices.DataConfig, model: torch_choices.ModelConfig, overrides: Overrides = None
) -> ModelConfig:
    """Return the network that the choices describe.

    Raises
    ------
    ConfigError
        The grid isn't square, the mode or the activation is unknown, or an override is no field.
    """
    rows, columns = _grid(data)
    if rows != columns:
        raise ConfigError(
            f"Non-square grids can't be used: grid_size is {(rows, columns)}; expected as many rows as columns; "
            "set grid_size to (2, 2) or (1, 1)"
        )
    translated = {
        "N": data.N,
        "gridsize": rows,
        "model_type": one_of("mode", model.mode, MODES),
        "amp_activation": one_of("activation", model.amp_activation, ACTIVATIONS),
        "probe_mask": masks_probe(model),
        "probe_scale": data.probe_scale,
    }
    return ModelConfig(**_overridden(ModelConfig, translated | same(model, MODEL_FIELDS), overrides))


def to_training_config(
    tf_model: ModelConfig,
    data: torch_choices.DataConfig,
    pt_model: torch_choices.ModelConfig,
    training: torch_choices.TrainingConfig,
    overrides: Overrides = None,
) -> TrainingConfig:
    """Return the training that the choices describe, for a network from `to_model_config`.

    Raises
    ------
    ConfigError
        Nobody chose nphotons, n_groups or train_data_file, or an override is no field.

    Warns
    -----
    UserWarning
        There is no test_data_file.
    """
    given = dict(overrides or {})
    if "nphotons" not in given and data.nphotons == UNCHOSEN_NPHOTONS:
        raise ConfigError(
            f"nphotons default divergence: DataConfig is born with {UNCHOSEN_NPHOTONS:g} and TrainingConfig with "
            f"{TrainingConfig(ModelConfig()).nphotons:g}; expected a choice; give nphotons in overrides"
        )
    choices = _overridden(TrainingConfig, training_choices(tf_model, data, pt_model, training), given)
    if choices["nphotons"] is None:
        raise ConfigError("nphotons is required, found none; expected counts of a frame; give nphotons in overrides")
    if choices["n_groups"] is None:
        raise ConfigError("n_groups is required, found none; expected a number of groups; give n_groups in overrides")
    if choices["test_data_file"] is None:
        warnings.warn(
            "test_data_file was not given: nothing is reconstructed after training; give it in overrides", stacklevel=2
        )
    if choices["train_data_file"] is None:
        raise ConfigError("train_data_file is required, found none; expected a scan; give train_data_file in overrides")
    return TrainingConfig(**choices)


def to_inference_config(
    tf_model: ModelConfig,
    data: torch_choices.DataConfig,
    inference: torch_choices.InferenceConfig,
    overrides: Overrides = None,
) -> InferenceConfig:
    """Return the reconstruction that the choices describe; nothing of ``inference`` has a name on the other side.

    Raises
    ------
    ConfigError
        There is no model_path or no test_data_file, or an override is no field.
    """
    translated = {
        "model": tf_model,
        "model_path": None,
        "test_data_file": None,
        "neighbor_count": data.K,
        "subsample_seed": data.subsample_seed,
        "debug": False,
        "backend": "pytorch",
    }
    choices = _overridden(InferenceConfig, translated, overrides)
    for name in ("model_path", "test_data_file"):
        if choices[name] is None:
            raise ConfigError(f"{name} is required, found none; expected a path; give {name} in overrides")
    return InferenceConfig(**choices)


def training_choices(
    model: ModelConfig,
    data: torch_choices.DataConfig,
    pt_model: torch_choices.ModelConfig,
    training: torch_choices.TrainingConfig,
) -> dict[str, Any]:
    """Return the fields of a training by name, without asking whether somebody chose them."""
    translated: dict[str, Any] = {
        "model": model,
        "train_data_file": _path(training.train_data_file),
        "test_data_file": _path(training.test_data_file),
        "output_dir": _path(training.output_dir),
        "nepochs": training.epochs,
        "nll_weight": 1.0 if training.nll else 0.0,
        "mae_weight": 0.0,
        "realspace_weight": 0.0,
        "realspace_mae_weight": 0.0,
        "nphotons": data.nphotons,
        "n_groups": training.n_groups,
        # DataConfig.n_subsample counts groups of a position; here it would be positions to keep.
        "n_subsample": None,
        "subsample_seed": data.subsample_seed,
        "neighbor_count": data.K,
        "positions_provided": True,
        "probe_trainable": False,
        "intensity_scale_trainable": pt_model.intensity_scale_trainable,
        "sequential_sampling": False,
        "backend": "pytorch",
        "scheduler": SCHEDULES.get(training.scheduler, training.scheduler),
    }
    return translated | same(training, TRAINING_FIELDS)


def gridsize_of(data: torch_choices.DataConfig) -> int:
    """Return the gridsize of groups of C positions.

    Raises
    ------
    ConfigError
        C is no square number, or grid_size says something else.
    """
    gridsize = isqrt(max(0, data.C))
    if gridsize < 1 or gridsize**2 != data.C:
        raise ConfigError(f"C is {data.C}; expected a square number, such as 1 or 4; set C and grid_size to match")
    if _grid(data) != (gridsize, gridsize):
        raise ConfigError(
            f"grid_size is {_grid(data)} while C is {data.C}; expected {(gridsize, gridsize)}, because a "
            "group has C positions; set one of them to match the other"
        )
    return gridsize


def _grid(data: torch_choices.DataConfig) -> tuple[int, int]:
    """Return rows and columns of a group."""
    try:
        rows, columns = data.grid_size
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"grid_size is {data.grid_size!r}; expected rows and columns; set grid_size to (2, 2) or (1, 1)"
        ) from error
    return rows, columns


def masks_probe(model: torch_choices.ModelConfig) -> bool:
    """Return whether the probe is masked: a flag says it, and an array of the older interface means yes."""
    if isinstance(model.probe_mask, bool):
        return model.probe_mask or model.probe_mask_tensor is not None
    return model.probe_mask is not None or model.probe_mask_tensor is not None


def one_of(kind: str, found: str, words: Mapping[str, str]) -> str:
    """Return what a word of the older library is called here.

    Raises
    ------
    ConfigError
        It is none of the words.
    """
    if found not in words:
        problem = "Unknown" if kind == "activation" else "Invalid"
        raise ConfigError(
            f"{problem} {kind} {found!r}; expected one of {', '.join(map(repr, words))}; "
            f"choose one of them{nearest(found, words)}"
        )
    return words[found]


def same(config: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return fields of a configuration by name."""
    return {name: getattr(config, name) for name in names}


def _path(value: Path | str | None) -> Path | None:
    return None if value is None else Path(value)


def _overridden(cls: type[Any], choices: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Return the choices with the overrides laid over them, text of a path as a path."""
    known = [field.name for field in fields(cls)]
    unknown = [f"{name}{nearest(name, known)}" for name in overrides or {} if name not in known]
    if unknown:
        raise ConfigError(
            f"found overrides {', '.join(unknown)}; expected fields of {cls.__name__}; correct or remove them"
        )
    paths = {"train_data_file", "test_data_file", "output_dir", "model_path"}
    laid = {name: _path(value) if name in paths else value for name, value in (overrides or {}).items()}
    return {**choices, **laid}
