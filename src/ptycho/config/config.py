"""Door: the configuration under the import path that clients use."""

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import load_yaml_config
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.old_names import KEY_MAPPINGS, dataclass_to_legacy_dict, update_legacy_dict
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_inference as validate_inference_config
from ptycho.config.validate import validate_model as validate_model_config
from ptycho.config.validate import validate_training as validate_training_config

__all__ = [
    "KEY_MAPPINGS",
    "InferenceConfig",
    "ModelConfig",
    "PyTorchExecutionConfig",
    "TrainingConfig",
    "dataclass_to_legacy_dict",
    "load_yaml_config",
    "update_legacy_dict",
    "validate_inference_config",
    "validate_model_config",
    "validate_training_config",
]
