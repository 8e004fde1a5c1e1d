"""Door: the same workflows by the names that once chose between engines; there is one, and it is PyTorch."""

from pathlib import Path
from typing import Any

from ptycho.config.config import InferenceConfig, PyTorchExecutionConfig, TrainingConfig
from ptycho.interop.container import GivesAcquisition

__all__ = ["load_inference_bundle_with_backend", "run_cdi_example_with_backend", "train_cdi_model_with_backend"]


def run_cdi_example_with_backend(
    train_data: GivesAcquisition,
    test_data: GivesAcquisition | None,
    config: TrainingConfig,
    flip_x: bool = False,
    flip_y: bool = False,
    transpose: bool = False,
    M: int = 20,
    do_stitching: bool = False,
    torch_execution_config: PyTorchExecutionConfig | None = None,
) -> tuple[Any, Any, dict[str, Any]]:
    """Do what `ptycho_torch.workflows.components.run_cdi_example_torch` does."""
    from ptycho_torch.workflows.components import run_cdi_example_torch

    amplitude, phase, results = run_cdi_example_torch(
        train_data, test_data, config, flip_x, flip_y, transpose, M, do_stitching, torch_execution_config
    )
    return amplitude, phase, results | {"backend": "pytorch"}


def train_cdi_model_with_backend(
    train_data: GivesAcquisition, test_data: GivesAcquisition | None, config: TrainingConfig
) -> dict[str, Any]:
    """Do what `ptycho_torch.workflows.components.train_cdi_model_torch` does."""
    from ptycho_torch.workflows.components import train_cdi_model_torch

    results: dict[str, Any] = train_cdi_model_torch(train_data, test_data, config)
    return results | {"backend": "pytorch"}


def load_inference_bundle_with_backend(
    bundle_dir: Path | str, config: InferenceConfig | TrainingConfig, model_name: str = "diffraction_to_obj"
) -> tuple[Any, dict[str, Any]]:
    """Return one model of a bundle, and the older dictionary, first that of ``config`` and then of the bundle."""
    from ptycho import params
    from ptycho.config import config as ptycho_config
    from ptycho.config.engine import tell_engine
    from ptycho.model_manager import load_models

    tell_engine(config)
    ptycho_config.update_legacy_dict(params.cfg, config)
    return load_models(bundle_dir, [model_name])[model_name], dict(params.cfg)
