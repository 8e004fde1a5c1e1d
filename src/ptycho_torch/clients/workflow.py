"""Train on a client's scan and turn another into an image, as the older interface puts it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import require
from ptycho.acquisition.orientation import in_detector_frame
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict, to_dict
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho.interop.container import GivesAcquisition
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence.bundle import NAME, write_bundle
from ptycho_torch.pinn.pinn import PtychoPINN


@dataclass(frozen=True)
class Axes:
    """How the axes of a scan lie to those of its patterns: x and y negated, then exchanged, then scaled."""

    flip_x: bool = False
    flip_y: bool = False
    transpose: bool = False
    coord_scale: float = 1.0


def train(
    train_data: Any,
    test_data: Any,
    config: TrainingConfig,
    execution: PyTorchExecutionConfig | None,
    axes: Axes,
    *,
    contain: Callable[[Any, TrainingConfig], Any],
    writes: bool,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train on a scan, judged by another where it is given.

    Parameters
    ----------
    train_data, test_data
        Scans or containers of older clients; the second may be None.
    contain
        Makes the container that a client looks at from a scan.
    writes
        Whether choices, curves, checkpoints and the bundle go to ``config.output_dir``; nothing is written otherwise.
    overrides
        Fields of the configuration, or of its model, by name.

    Returns
    -------
    dict
        ``history`` (losses by epoch), ``history_epochs`` (their numbers), ``models`` (by the two names of the older
        interface, one module), ``intensity_scale``, ``train_container``, ``test_container``.

    Raises
    ------
    ConfigError, DataError
        The choices or a scan can't be used.
    TypeError
        An argument is no scan.
    """
    from ptycho_torch.training.fit import check_sizes, prepare

    config = config if overrides is None else _overridden(config, overrides)
    execution = execution or PyTorchExecutionConfig()
    validate_training(config, execution)
    training = scan_of(train_data, config, axes)
    validation = None if test_data is None else scan_of(test_data, config, axes)
    check_sizes(config, training, validation)
    containers = [None if data is None else contain(data, config) for data in (train_data, test_data)]
    folder = Path(config.output_dir) if writes else None
    done = prepare(config, execution, training, validation, folder=folder).train()
    if folder is not None:
        write_bundle(folder / NAME, done.pinn, config, done.began_from)
    return {
        "history": {"val_loss": None, **done.history},
        "history_epochs": list(range(len(done.history["train_loss"]))),
        "models": models_of(done.pinn),
        "intensity_scale": done.pinn.intensity_scale,
        "train_container": containers[0],
        "test_container": containers[1],
    }


def stitch(
    pinn: PtychoPINN,
    test_data: Any,
    config: TrainingConfig,
    execution: PyTorchExecutionConfig | None,
    axes: Axes,
) -> dict[str, Any]:
    """Reconstruct a scan with a trained network.

    Returns
    -------
    dict
        ``object`` (height, width) complex64, in the axes of the scan; ``recon_amp``, ``recon_phase`` (rad);
        ``global_offsets`` (position, 1, 2, 1) [x, y] px; ``reconstruction``, with the place of the object.
    """
    execution = execution or PyTorchExecutionConfig()
    found = reconstruct(
        pinn,
        scan_of(test_data, config, axes),
        device=resolve_device(execution.accelerator),
        batch_size=execution.inference_batch_size or config.batch_size,
        n_neighbours=config.neighbor_count,
        precision=execution.precision,
        deterministic=execution.deterministic,
    ).final
    object_ = found.object_.T if axes.transpose else found.object_
    return {
        "object": object_,
        "reconstruction": found,
        "global_offsets": found.positions[:, None, ::-1, None],
        "recon_amp": np.abs(object_),
        "recon_phase": np.angle(object_),
    }


def scan_of(data: Any, config: TrainingConfig, axes: Axes) -> Acquisition:
    """Return the scan in a client's data, in the axes of its patterns.

    Raises
    ------
    DataError
        The scan can't be used.
    TypeError
        It is no scan.
    """
    if not isinstance(data, GivesAcquisition):
        raise TypeError(
            f"data must be RawData, RawDataTorch or PtychoDataContainerTorch, found {type(data).__name__}; "
            "read a file with RawData.from_file"
        )
    scan = data.acquisition(config.nphotons)
    scan = in_detector_frame(scan, flip_x=axes.flip_x, flip_y=axes.flip_y, transpose=axes.transpose)
    if axes.coord_scale != 1:
        scan = replace(scan, positions=scan.positions * axes.coord_scale, object_=None)
    require(scan)
    return scan


def _overridden(config: TrainingConfig, overrides: Mapping[str, Any]) -> TrainingConfig:
    mapping, of_model = to_dict(config), {field.name for field in fields(ModelConfig)}
    for name, value in overrides.items():
        (mapping["model"] if name in of_model else mapping)[name] = value
    return from_dict(mapping, TrainingConfig, "overrides")


def models_of(pinn: PtychoPINN) -> dict[str, PtychoPINN]:
    """Return a network by the two names of the older interface."""
    return {"diffraction_to_obj": pinn, "autoencoder": pinn}
