"""What the choices of the older PyTorch library make this engine do, and the choices that a trained network implies."""

import logging
from dataclasses import fields
from pathlib import Path

import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho.interop import torch_choices
from ptycho.interop.translate import (
    MODEL_FIELDS,
    MODES,
    TRAINING_FIELDS,
    gridsize_of,
    one_of,
    same,
    to_model_config,
    training_choices,
)

logger = logging.getLogger(__name__)

LOSSES = {"Poisson": "poisson", "MAE": "mae"}
# Clients let the learning rate end at 0, which an exponential can't; a millionth of it is as good.
SMALLEST_RATIO = 1e-6
# Fields that decide something here, that follow from others, or that only name a run.
READ = {
    torch_choices.DataConfig: {"N", "C", "K", "n_subsample", "subsample_seed", "grid_size", "nphotons"},
    torch_choices.ModelConfig: {
        *("mode", "architecture", "loss_function", "amp_activation", "n_filters_scale", "intensity_scale_trainable"),
        *("object_big", "probe_big", "pad_object", "probe_mask", "probe_mask_tensor", "probe_mask_sigma"),
        *("probe_mask_diameter", "C_model", "C_forward", "decoder_last_amp_channels"),
    },
    torch_choices.TrainingConfig: {
        *TRAINING_FIELDS,
        *("nll", "device", "strategy", "n_devices", "learning_rate", "epochs", "scheduler", "accum_steps"),
        *("warmup_epochs", "min_lr_ratio", "n_groups", "num_workers", "output_dir"),
        *("framework", "orchestrator", "experiment_name", "notes", "model_name"),
    },
}

Choices = tuple[
    torch_choices.DataConfig,
    torch_choices.ModelConfig,
    torch_choices.TrainingConfig,
    torch_choices.InferenceConfig,
]


def training_of(
    data: torch_choices.DataConfig,
    model: torch_choices.ModelConfig,
    training: torch_choices.TrainingConfig,
    scan: Acquisition,
    *,
    train_file: Path,
    test_file: Path | None,
    folder: Path,
) -> tuple[TrainingConfig, PyTorchExecutionConfig]:
    """Return how to train on a scan; the size of the patterns is the scan's, whatever the choices say.

    Groups of C > 1 positions are drawn ``n_subsample`` times for every position, or ``n_groups`` in all where that is
    given. Choices that were made and have no meaning here are named once.

    Parameters
    ----------
    scan
        The scan to learn from.
    train_file, test_file, folder
        Where the scans came from and where results go, to be kept with the choices.

    Raises
    ------
    ConfigError
        A choice can't be used.
    """
    gridsize = gridsize_of(data)
    network = to_model_config(data, model, {"N": scan.size, "gridsize": gridsize})
    loss = one_of("loss_function", model.loss_function, LOSSES)
    choices = training_choices(network, data, model, training) | {
        "train_data_file": train_file,
        "test_data_file": test_file,
        "output_dir": folder,
        "neighbor_count": max(data.K, data.C - 1, 1),
        "torch_loss_mode": training.torch_loss_mode if training.nll and loss == "poisson" else "mae",
        "nll_weight": 1.0,
    }
    if training.warmup_epochs is not None:
        choices["lr_warmup_epochs"] = training.warmup_epochs
    if training.min_lr_ratio is not None:
        choices["lr_min_ratio"] = max(training.min_lr_ratio, SMALLEST_RATIO)
    if gridsize > 1:
        choices["n_groups"] = training.n_groups or data.n_subsample * scan.n_positions
        choices["enable_oversampling"] = True
    config = TrainingConfig(**choices)
    execution = execution_of(training)
    validate_training(config, execution)
    if network.probe_mask and not (model.probe_mask_tensor is None and isinstance(model.probe_mask, bool)):
        logger.warning("the values of probe_mask are not read: a disk masks the probe, see probe_mask_diameter")
    unread = [choice for made in (data, model, training) for choice in _unread(made)]
    if unread:
        logger.info("these choices have no meaning in this engine and are not read: %s", ", ".join(unread))
    return config, execution


def execution_of(training: torch_choices.TrainingConfig) -> PyTorchExecutionConfig:
    """Return where to train: on one device, with patterns that lie there already and need no loading processes.

    A strategy for several devices starts its processes from the program that is running, which is the client's.
    """
    if training.n_devices not in (1, "auto"):
        logger.warning(
            "n_devices is %s: training uses one device here; several are used by `ptycho train --execution.devices`",
            training.n_devices,
        )
    return PyTorchExecutionConfig(
        accelerator=accelerator_of(training.device),
        learning_rate=training.learning_rate,
        accum_steps=training.accum_steps,
    )


def accelerator_of(device: str) -> str:
    """Return the accelerator of a device such as "cuda" or "cuda:0"; the CPU, with a warning, where there is no GPU."""
    kind = device.partition(":")[0]
    if kind in ("cuda", "gpu") and not torch.cuda.is_available():
        logger.warning("device is %r and no GPU was found: the CPU does the work", device)
        return "cpu"
    return kind


def choices_of(config: TrainingConfig) -> Choices:
    """Return the choices, in the older library's words, that a trained network implies."""
    model = config.model
    members = model.gridsize**2
    poisson = config.torch_loss_mode == "poisson"
    return (
        torch_choices.DataConfig(
            N=model.N,
            C=members,
            grid_size=(model.gridsize, model.gridsize),
            K=config.neighbor_count,
            nphotons=config.nphotons,
            subsample_seed=config.subsample_seed,
            probe_scale=model.probe_scale,
        ),
        torch_choices.ModelConfig(
            mode=next(theirs for theirs, ours in MODES.items() if ours == model.model_type),
            loss_function="Poisson" if poisson else "MAE",
            amp_activation=model.amp_activation,
            probe_mask=model.probe_mask,
            intensity_scale_trainable=config.intensity_scale_trainable,
            C_model=members,
            C_forward=members,
            **same(model, MODEL_FIELDS),
        ),
        torch_choices.TrainingConfig(
            nll=poisson,
            device="auto",
            epochs=config.nepochs,
            scheduler=config.scheduler,
            train_data_file=config.train_data_file,
            test_data_file=config.test_data_file,
            output_dir=config.output_dir,
            n_groups=config.n_groups if members > 1 else None,
            **same(config, TRAINING_FIELDS),
        ),
        torch_choices.InferenceConfig(),
    )


def _unread(made: torch_choices.Choices) -> list[str]:
    born = type(made)()
    return [
        f"{choice.name}={getattr(made, choice.name)!r}"
        for choice in fields(made)
        if choice.name not in READ[type(made)] and getattr(made, choice.name) != getattr(born, choice.name)
    ]
