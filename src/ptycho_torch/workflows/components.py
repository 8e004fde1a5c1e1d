"""Door: train, reconstruct and load with the PyTorch engine, as the older interface names it. Opens without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho import params
from ptycho.config import config as ptycho_config
from ptycho.interop.container import GivesAcquisition
from ptycho_torch.base.installed import torch_available
from ptycho_torch.data_container_bridge import PtychoDataContainerTorch

if TYPE_CHECKING:
    from numpy import ndarray

    from ptycho_torch.pinn.pinn import PtychoPINN

TORCH_AVAILABLE = torch_available()

__all__ = [
    "TORCH_AVAILABLE",
    "load_inference_bundle_torch",
    "reassemble_cdi_image_torch",
    "run_cdi_example_torch",
    "train_cdi_model_torch",
]


def run_cdi_example_torch(
    train_data: GivesAcquisition,
    test_data: GivesAcquisition | None,
    config: ptycho_config.TrainingConfig,
    flip_x: bool = False,
    flip_y: bool = False,
    transpose: bool = False,
    M: int = 20,
    do_stitching: bool = False,
    execution_config: ptycho_config.PyTorchExecutionConfig | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> "tuple[ndarray | None, ndarray | None, dict[str, Any]]":
    """Train on one scan and, with ``do_stitching``, reconstruct the other; return amplitude, phase (rad) and results.

    Flips negate the scan's x and y, ``transpose`` exchanges axes; ``M`` is taken for older clients: the light of the
    probe decides. Without stitching, or without test data, amplitude and phase are None.
    """
    ptycho_config.update_legacy_dict(params.cfg, config)
    axes = {"flip_x": flip_x, "flip_y": flip_y, "transpose": transpose}
    results = _train(train_data, test_data, config, execution_config, axes, overrides)
    if not do_stitching or test_data is None:
        return None, None, results
    results |= _stitch(test_data, config, results, execution_config, axes)
    return results["recon_amp"], results["recon_phase"], results


def train_cdi_model_torch(
    train_data: GivesAcquisition,
    test_data: GivesAcquisition | None,
    config: ptycho_config.TrainingConfig,
    execution_config: ptycho_config.PyTorchExecutionConfig | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train as `ptycho_torch.clients.workflow.train` says; the bundle goes to ``config.output_dir``."""
    ptycho_config.update_legacy_dict(params.cfg, config)
    return _train(train_data, test_data, config, execution_config, {}, overrides)


def reassemble_cdi_image_torch(
    test_data: GivesAcquisition,
    config: ptycho_config.TrainingConfig,
    flip_x: bool = False,
    flip_y: bool = False,
    transpose: bool = False,
    M: int = 20,
    coord_scale: float = 1.0,
    train_results: dict[str, Any] | None = None,
    execution_config: ptycho_config.PyTorchExecutionConfig | None = None,
) -> "tuple[ndarray, ndarray, dict[str, Any]]":
    """Reconstruct a scan with the network of ``train_results``, else with the bundle in ``config.output_dir``."""
    ptycho_config.update_legacy_dict(params.cfg, config)
    axes = {"flip_x": flip_x, "flip_y": flip_y, "transpose": transpose, "coord_scale": coord_scale}
    results = train_results or {"models": load_inference_bundle_torch(Path(config.output_dir))[0]}
    results = _stitch(test_data, config, results, execution_config, axes)
    return results["recon_amp"], results["recon_phase"], results


def load_inference_bundle_torch(
    bundle_dir: Path | str,
    model_name: str = "diffraction_to_obj",
    *,
    scale_contract_version: str | None = None,
    measurement_domain: str | None = None,
) -> "tuple[dict[str, PtychoPINN], dict[str, Any]]":
    """Return the models in a run folder, and the older dictionary that belongs to them, which is restored too."""
    from ptycho_torch.clients.workflow import models_of
    from ptycho_torch.model_manager import restored
    from ptycho_torch.persistence.bundle import read_bundle

    bundle = read_bundle(Path(bundle_dir))
    return models_of(bundle.pinn), restored(bundle)


def _train(train_data: Any, test_data: Any, config: Any, execution: Any, axes: Any, overrides: Any) -> dict[str, Any]:
    from ptycho_torch.clients.workflow import Axes, train

    scans, how = (train_data, test_data), {"contain": PtychoDataContainerTorch.of, "writes": True}
    results = train(*scans, config, execution, Axes(**axes), overrides=overrides, **how)
    params.cfg["intensity_scale"] = results["intensity_scale"]
    return results


def _stitch(test_data: Any, config: Any, results: dict[str, Any], execution: Any, axes: Any) -> dict[str, Any]:
    from ptycho_torch.clients.workflow import Axes, stitch

    found = stitch(results["models"]["diffraction_to_obj"], test_data, config, execution, Axes(**axes))
    container = results.get("test_container")
    return found | {"containers": {"test": container or PtychoDataContainerTorch.of(test_data, config)}}
