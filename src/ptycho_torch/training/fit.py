"""Train a network on a scan."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.errors import ConfigError, DataError, extra_missing
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.callbacks import Curves, RunProgress, averaged_weights
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.lightning_module import PtychoModule

logger = logging.getLogger(__name__)

DEFAULT_SEED = 42


@dataclass(frozen=True)
class Fit:
    """A trained network with its curves (one value an epoch), the seconds it took and the patterns it saw."""

    pinn: PtychoPINN
    history: dict[str, list[float]]
    seconds: float
    n_patterns: int


def fit(
    config: TrainingConfig,
    execution: PyTorchExecutionConfig,
    training: Acquisition,
    validation: Acquisition | None = None,
    *,
    resume: Path | None = None,
) -> Fit:
    """Train a network on a scan, without labels.

    Parameters
    ----------
    config, execution
        What to learn and how; curves and checkpoints go to ``config.output_dir``.
    training
        The scan to learn from.
    validation
        A scan that only judges; without it a contiguous part of ``training`` is held out.
    resume
        Checkpoint of an interrupted run of the same configuration.

    Raises
    ------
    DataError
        The scan does not fit the configuration.
    ConfigError
        The checkpoint can't be used, or training diverged.
    """
    for scan in (training, validation):
        if scan is not None and scan.size != config.model.N:
            raise DataError(
                f"patterns are {scan.size} x {scan.size} px but model.N is {config.model.N}; set model.N to {scan.size}"
            )
    seed = DEFAULT_SEED if config.subsample_seed is None else config.subsample_seed
    lightning.seed_everything(seed, verbose=False)
    data = ScanDataModule(config, execution, training, validation, seed)
    pinn = build(config.model, config, Constants.of(training))
    module = PtychoModule(pinn, config, execution, monitor="val_loss" if data.validates else "train_loss")
    curves = Curves()
    n_steps = config.nepochs * len(data.train_dataloader())
    if resume is not None:
        _check_checkpoint(resume, module)
    with _quietly():
        trainer = _trainer(config, execution, curves, n_steps, validates=data.validates)
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    losses = curves.history["train_loss"]
    if not math.isfinite(losses[-1]):
        raise ConfigError(
            f"training diverged: the loss was {losses[-1]} in epoch {len(losses)}; expected a number; lower "
            f"learning_rate (it is {execution.learning_rate:g}) or gradient_clip_val"
        )
    return Fit(pinn.eval(), curves.history, curves.seconds, curves.n_patterns)


def _check_checkpoint(path: Path, module: PtychoModule) -> None:
    advice = "give the configuration of that run or start without resume"
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        saved = {name: tensor.shape for name, tensor in tensors.items()}
    except (RuntimeError, UnpicklingError, OSError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} can't be read; expected the checkpoint of an interrupted run, and it is damaged or none; {advice}"
        ) from error
    if saved != {name: tensor.shape for name, tensor in module.state_dict().items()}:
        raise ConfigError(f"{path} was trained with another network; expected the configured one; {advice}")


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep Lightning's advertisements and its advice on data loaders of our own making from the user's screen."""
    theirs = logging.getLogger("lightning.pytorch")
    level = theirs.level
    theirs.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        theirs.setLevel(level)


def _trainer(
    config: TrainingConfig, execution: PyTorchExecutionConfig, curves: Curves, n_steps: int, *, validates: bool
) -> lightning.Trainer:
    callbacks: list[Callback] = [curves, averaged_weights(n_steps)]
    if execution.enable_progress_bar:
        callbacks.append(RunProgress())
    if execution.enable_checkpointing:
        callbacks.append(_checkpoint(config, execution, validates=validates))
    if validates:
        callbacks.append(EarlyStopping("val_loss", patience=execution.early_stop_patience))
    return lightning.Trainer(
        max_epochs=config.nepochs,
        accelerator="gpu" if resolve_device(execution.accelerator).type == "cuda" else execution.accelerator,
        devices=execution.devices,
        strategy=execution.strategy,
        precision=execution.precision,
        deterministic=execution.deterministic,
        accumulate_grad_batches=execution.accum_steps,
        use_distributed_sampler=False,
        callbacks=callbacks,
        logger=_loggers(config, execution),
        enable_progress_bar=False,
        enable_checkpointing=execution.enable_checkpointing,
        enable_model_summary=False,
        log_every_n_steps=10,
        default_root_dir=config.output_dir,
        num_sanity_val_steps=0,
    )


def _checkpoint(config: TrainingConfig, execution: PyTorchExecutionConfig, *, validates: bool) -> ModelCheckpoint:
    metric = execution.checkpoint_monitor_metric
    if not validates:
        metric = metric.replace("val_", "train_")
    return ModelCheckpoint(
        dirpath=Path(config.output_dir) / "checkpoints",
        filename="epoch={epoch:02d}-" + metric + "={" + metric + ":.4f}",
        auto_insert_metric_name=False,
        monitor=metric,
        mode=execution.checkpoint_mode,
        save_top_k=execution.checkpoint_save_top_k,
        save_last=True,
    )


def _loggers(config: TrainingConfig, execution: PyTorchExecutionConfig) -> list[Logger]:
    folder = str(config.output_dir)
    loggers: list[Logger] = [CSVLogger(folder, name="logs", version="")]
    kinds: dict[str, Any] = {
        "tensorboard": lambda: TensorBoardLogger(folder, name="tensorboard", version=""),
        "mlflow": lambda: MLFlowLogger(experiment_name="ptychopinn", tracking_uri=f"file:{folder}/mlflow"),
    }
    if execution.logger_backend in kinds:
        try:
            loggers.append(kinds[execution.logger_backend]())
        except ModuleNotFoundError as error:
            raise extra_missing(execution.logger_backend, "track") from error
    return loggers
