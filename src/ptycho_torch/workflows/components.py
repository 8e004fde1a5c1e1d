"""Door: train, reconstruct and load with the PyTorch engine, as the older interface names it. Opens without torch."""

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
) -> "tuple[ndarray | None, ndarray | None, dict[str, Any]]":
    """Train on one scan and, with ``do_stitching``, reconstruct the other; return amplitude, phase (rad) and results.

    Flips negate the scan's x and y, ``transpose`` exchanges the axes of patterns and scan. ``M`` is taken for older
    clients: here the light of the probe says how far into a patch it counts. Without stitching, or without test data,
    amplitude and phase are None.
    """
    ptycho_config.update_legacy_dict(params.cfg, config)
    axes = {"flip_x": flip_x, "flip_y": flip_y, "transpose": transpose}
    results = _train(train_data, test_data, config, execution_config, axes)
    if not do_stitching or test_data is None:
        return None, None, results
    results |= _stitch(test_data, config, results, execution_config, axes)
    return results["recon_amp"], results["recon_phase"], results


def train_cdi_model_torch(
    train_data: GivesAcquisition,
    test_data: GivesAcquisition | None,
    config: ptycho_config.TrainingConfig,
    execution_config: ptycho_config.PyTorchExecutionConfig | None = None,
) -> dict[str, Any]:
    """Train on a scan, judged by another where it is given; the bundle goes to ``config.output_dir``.

    Results: ``history`` (losses by epoch), ``train_container``, ``test_container``, ``models``, ``intensity_scale``.
    """
    ptycho_config.update_legacy_dict(params.cfg, config)
    return _train(train_data, test_data, config, execution_config, {})


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
    """Reconstruct a scan with the network of ``train_results``, else with the bundle in ``config.output_dir``.

    Returns and arguments as in `run_cdi_example_torch`; ``coord_scale`` multiplies the positions.
    """
    ptycho_config.update_legacy_dict(params.cfg, config)
    axes = {"flip_x": flip_x, "flip_y": flip_y, "transpose": transpose, "coord_scale": coord_scale}
    results = train_results or {"models": load_inference_bundle_torch(Path(config.output_dir))[0]}
    results = _stitch(test_data, config, results, execution_config, axes)
    return results["recon_amp"], results["recon_phase"], results


def load_inference_bundle_torch(model_dir: Path | str) -> "tuple[dict[str, PtychoPINN], dict[str, Any]]":
    """Return the models in a run folder, and the older dictionary that belongs to them, which is restored too.

    A ``BundleError`` says why a folder's bundle can't be used.
    """
    from ptycho_torch.clients.workflow import models_of
    from ptycho_torch.persistence.bundle import read_bundle

    bundle = read_bundle(Path(model_dir))
    ptycho_config.update_legacy_dict(params.cfg, bundle.config)
    params.cfg["intensity_scale"] = bundle.pinn.intensity_scale
    return models_of(bundle.pinn), dict(params.cfg)


def _train(train_data: Any, test_data: Any, config: Any, execution: Any, axes: dict[str, Any]) -> dict[str, Any]:
    from ptycho_torch.clients.workflow import Axes, train

    results = train(train_data, test_data, config, execution, Axes(**axes), writes=True)
    params.cfg["intensity_scale"] = results["intensity_scale"]
    containers = [PtychoDataContainerTorch.of(data, config) for data in (train_data, test_data)]
    return results | {"train_container": containers[0], "test_container": containers[1]}


def _stitch(test_data: Any, config: Any, results: dict[str, Any], execution: Any, axes: Any) -> dict[str, Any]:
    from ptycho_torch.clients.workflow import Axes, stitch

    pinn = results["models"]["diffraction_to_obj"]
    container = results.get("test_container") or PtychoDataContainerTorch.of(test_data, config)
    return stitch(pinn, test_data, config, execution, Axes(**axes)) | {"containers": {"test": container}}
