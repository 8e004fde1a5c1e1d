"""Door: the five sets of choices of the older PyTorch library. Opens without torch."""

from ptycho.interop.torch_choices import (
    DataConfig,
    DatagenConfig,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
    update_existing_config,
)

__all__ = [
    "DataConfig",
    "DatagenConfig",
    "InferenceConfig",
    "ModelConfig",
    "TrainingConfig",
    "update_existing_config",
]
