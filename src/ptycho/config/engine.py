"""The engine: there is one, and what is said to somebody who asks for another."""

import logging

from ptycho.config.inference import InferenceConfig
from ptycho.config.training import TrainingConfig

logger = logging.getLogger(__name__)


def tell_engine(config: TrainingConfig | InferenceConfig) -> None:
    """Say which engine does the work, where the configuration names another."""
    if config.backend == "tensorflow":
        logger.warning(
            "backend is tensorflow, and this engine, PyTorch, does the work; a network that the older one trained "
            "becomes a bundle with `ptycho convert`"
        )
