"""The one table between the names of fields and the keys of the older dictionary."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig

KEY_MAPPINGS: dict[str, str] = {
    "object_big": "object.big",
    "probe_big": "probe.big",
    "probe_mask": "probe.mask",
    "probe_trainable": "probe.trainable",
    "intensity_scale_trainable": "intensity_scale.trainable",
    "positions_provided": "positions.provided",
    "output_dir": "output_prefix",
    "train_data_file": "train_data_file_path",
    "test_data_file": "test_data_file_path",
}

# Words of older clients -> words of the configuration; those that are the same stand in both columns.
ACTIVATIONS: dict[str, str] = {
    **{word: word for word in ("sigmoid", "swish", "softplus", "relu")},
    "silu": "swish",
    "SiLU": "swish",
}
SCHEDULES: dict[str, str] = {"Cosine": "WarmupCosine", "CosineAnnealing": "WarmupCosine"}


def dataclass_to_legacy_dict(config: ModelConfig | TrainingConfig | InferenceConfig) -> dict[str, Any]:
    """Return a configuration as one flat dictionary with the older keys: the model's fields merged, paths as text.

    Examples
    --------
    >>> dataclass_to_legacy_dict(ModelConfig(probe_big=False))["probe.big"]
    False
    """
    flat = asdict(config)
    flat |= flat.pop("model", {})
    return {KEY_MAPPINGS.get(name, name): str(v) if isinstance(v, Path) else v for name, v in flat.items()}


def update_legacy_dict(cfg: dict[str, Any], config: ModelConfig | TrainingConfig | InferenceConfig) -> None:
    """Write a configuration into the older dictionary ``cfg``; a choice that is None leaves its key as it was."""
    cfg.update({key: value for key, value in dataclass_to_legacy_dict(config).items() if value is not None})
