"""Door: from the choices of the older PyTorch library to the configurations of ``ptycho.config.config``."""

from ptycho.interop.translate import to_inference_config, to_model_config, to_training_config

__all__ = ["to_inference_config", "to_model_config", "to_training_config"]
