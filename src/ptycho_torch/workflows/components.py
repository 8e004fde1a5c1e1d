"""Door: train, reconstruct and load with the PyTorch engine, as the older interface names it. Opens without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho import params
from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import require
from ptycho.acquisition.orientation import in_detector_frame
from ptycho.base.errors import extra_missing
from ptycho.config import config as ptycho_config
from ptycho.raw_data import RawData
from ptycho_torch.base.installed import torch_available
from ptycho_torch.data_container_bridge import PtychoDataContainerTorch

if TYPE_CHECKING:
    from numpy import ndarray

    from ptycho_torch.pinn.pinn import PtychoPINN

TORCH_AVAILABLE = torch_available()
BUNDLE = "wts.h5.zip"
Data = RawData | PtychoDataContainerTorch

__all__ = ["TORCH_AVAILABLE", "load_inference_bundle_torch", "run_cdi_example_torch", "train_cdi_model_torch"]


def run_cdi_example_torch(
    train_data: Data,
    test_data: Data | None,
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
    train_data: Data,
    test_data: Data | None,
    config: ptycho_config.TrainingConfig,
    execution_config: ptycho_config.PyTorchExecutionConfig | None = None,
) -> dict[str, Any]:
    """Train on a scan, judged by another where it is given; the bundle goes to ``config.output_dir``.

    Results: ``history`` (losses by epoch), ``train_container``, ``test_container``, ``models`` (by the two names of
    the older interface, one module) and ``intensity_scale``.
    """
    ptycho_config.update_legacy_dict(params.cfg, config)
    return _train(train_data, test_data, config, execution_config, {})


def load_inference_bundle_torch(model_dir: Path | str) -> "tuple[dict[str, PtychoPINN], dict[str, Any]]":
    """Return the models in a run folder, and the older dictionary that belongs to them, which is restored too.

    Raises
    ------
    BundleError
        The folder holds no bundle that can be used.
    """
    _engine()
    from ptycho_torch.persistence.bundle import read_bundle

    bundle = read_bundle(Path(model_dir))
    ptycho_config.update_legacy_dict(params.cfg, bundle.config)
    params.cfg["intensity_scale"] = bundle.pinn.intensity_scale
    return _models(bundle.pinn), dict(params.cfg)


def _train(
    train_data: Data,
    test_data: Data | None,
    config: ptycho_config.TrainingConfig,
    execution: ptycho_config.PyTorchExecutionConfig | None,
    axes: dict[str, bool],
) -> dict[str, Any]:
    execution = execution or ptycho_config.PyTorchExecutionConfig()
    ptycho_config.validate_training_config(config, execution)
    _engine()
    from ptycho_torch.persistence.bundle import write_bundle
    from ptycho_torch.training.fit import check_sizes, fit

    scans = [None if data is None else _scan(data, config, axes) for data in (train_data, test_data)]
    assert scans[0] is not None
    check_sizes(config, scans[0], scans[1])
    containers = [None if data is None else _container(data, config) for data in (train_data, test_data)]
    done = fit(config, execution, scans[0], scans[1])
    write_bundle(Path(config.output_dir) / BUNDLE, done.pinn, config)
    params.cfg["intensity_scale"] = done.pinn.intensity_scale
    return {
        "history": {"val_loss": None, **done.history},
        "train_container": containers[0],
        "test_container": containers[1],
        "models": _models(done.pinn),
        "intensity_scale": done.pinn.intensity_scale,
    }


def _stitch(
    test_data: Data,
    config: ptycho_config.TrainingConfig,
    results: dict[str, Any],
    execution: ptycho_config.PyTorchExecutionConfig | None,
    axes: dict[str, bool],
) -> dict[str, Any]:
    import numpy as np

    from ptycho_torch.base.devices import resolve_device
    from ptycho_torch.inference.reconstruct import reconstruct

    execution = execution or ptycho_config.PyTorchExecutionConfig()
    found = reconstruct(
        results["models"]["diffraction_to_obj"],
        _scan(test_data, config, axes),
        device=resolve_device(execution.accelerator),
        batch_size=execution.inference_batch_size or config.batch_size,
        n_neighbours=config.neighbor_count,
    ).final
    object_ = found.object_.T if axes["transpose"] else found.object_
    return {
        "object": object_,
        "reconstruction": found,
        "global_offsets": found.positions[:, None, ::-1, None],
        "recon_amp": np.abs(object_),
        "recon_phase": np.angle(object_),
        "containers": {"test": results["test_container"]},
    }


def _scan(data: Data, config: ptycho_config.TrainingConfig, axes: dict[str, bool]) -> Acquisition:
    if not isinstance(data, Data):
        raise TypeError(
            f"data must be RawData, RawDataTorch or PtychoDataContainerTorch, found {type(data).__name__}; "
            "read a file with RawData.from_file"
        )
    scan = in_detector_frame(data.acquisition(config.nphotons), **axes) if axes else data.acquisition(config.nphotons)
    require(scan)
    return scan


def _container(data: Data, config: ptycho_config.TrainingConfig) -> PtychoDataContainerTorch:
    if isinstance(data, PtychoDataContainerTorch):
        return data
    return PtychoDataContainerTorch.from_raw_data(data, config)


def _models(pinn: "PtychoPINN") -> "dict[str, PtychoPINN]":
    return {"diffraction_to_obj": pinn, "autoencoder": pinn}


def _engine() -> None:
    if not TORCH_AVAILABLE:
        raise extra_missing("torch", "torch")
