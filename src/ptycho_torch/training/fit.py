"""Train a network on a scan."""

import logging
import math
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import require_labels, require_whole_counts
from ptycho.base.errors import ConfigError, DataError, extra_missing
from ptycho.base.interruption import Interruption
from ptycho.base.launched import Launched, launched
from ptycho.base.watching import NOBODY, Watcher, Watchers
from ptycho.config.engine import tell_engine
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import write_yaml
from ptycho.config.training import TrainingConfig
from ptycho.live.terminal import progress_line
from ptycho_torch.base.devices import device_of
from ptycho_torch.base.repeating import repeatable
from ptycho_torch.persistence.bundle import start_from
from ptycho_torch.pinn.build import Constants, build, learns_from_labels
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.processes.world import World, lost_is_told
from ptycho_torch.training.callbacks import AveragedWeights, Curves, Watched
from ptycho_torch.training.checkpoints import FOLDER, LAST, WholeCheckpoints, keepers, read_state
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.interruptions import Ended, Interruptions
from ptycho_torch.training.lightning_module import PtychoModule
from ptycho_torch.training.together import environment, in_step

logger = logging.getLogger(__name__)

DEFAULT_SEED = 42


@dataclass(frozen=True)
class Fit:
    """A trained network with its curves (one value an epoch), the seconds it took and the patterns it saw.

    ``began_from`` is the hash of the weights that training started from; empty where they were random.
    """

    pinn: PtychoPINN
    history: dict[str, list[float]]
    seconds: float
    n_patterns: int
    began_from: str


def fit(
    config: TrainingConfig,
    execution: PyTorchExecutionConfig,
    training: Acquisition,
    validation: Acquisition | None = None,
    *,
    resume: Path | None = None,
    watcher: Watcher = NOBODY,
) -> Fit:
    """Train a network on a scan; choices, curves and checkpoints go to ``config.output_dir``.

    Parameters
    ----------
    resume
        Checkpoint of an interrupted run of the same configuration.
    watcher
        Who is told how it goes, beside the line on the terminal that ``execution.enable_progress_bar`` asks for.

    The other parameters and the errors are those of `prepare` and `Run.train`.
    """
    return prepare(config, execution, training, validation, folder=Path(config.output_dir)).train(resume, watcher)


def prepare(
    config: TrainingConfig,
    execution: PyTorchExecutionConfig,
    training: Acquisition,
    validation: Acquisition | None = None,
    *,
    folder: Path | None,
) -> "Run":
    """Return everything that a training needs, ready to start.

    Parameters
    ----------
    config, execution
        What to learn and how.
    training
        The scan to learn from.
    validation
        A scan that only judges; without it a contiguous part of ``training`` is held out.
    folder
        Where choices, curves and checkpoints go; None to write nothing at all.

    Raises
    ------
    DataError
        A scan does not fit the configuration, has too few positions, no labels where they are learnt from, or no whole
        counts where they are thinned.
    ConfigError
        The device is not there, there is not one process for each, choices of the machine exclude each other, or
        ``config.from_bundle`` holds another network.
    BundleError
        ``config.from_bundle`` can't be used.
    BackendNotInstalledError
        The package of the logger is not there.
    """
    check_sizes(config, training, validation)
    for scan, name in ((training, "training scan"), (validation, "validation scan")):
        if scan is not None and learns_from_labels(config.model):
            require_labels(scan, name)
        if scan is not None and config.thinning:
            require_whole_counts(scan, name)
    here = launched(execution.devices)
    world = World(here.rank, here.size)
    _require_logger(execution)
    tell_engine(config)
    seed = DEFAULT_SEED if config.subsample_seed is None else config.subsample_seed
    lightning.seed_everything(seed, verbose=False)
    data = ScanDataModule(config, execution, training, validation, seed, world)
    pinn = build(config.model, config, Constants.for_network(config.model, training))
    began_from = "" if config.from_bundle is None else start_from(config.from_bundle, pinn, config.model)
    monitor = "val_loss" if data.validates else "train_loss"
    module = PtychoModule(pinn, config, execution, monitor, world)
    curves = Curves(None if folder is None else folder / "logs" / "metrics.csv")
    n_steps = config.nepochs * len(data.train_dataloader())
    with quietly():
        try:
            trainer = _trainer(config, execution, curves, n_steps, folder, here, validates=data.validates)
        except (ValueError, MisconfigurationException) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"these choices of the machine don't go together ({error}); change execution") from error
    return Run(trainer, module, data, curves, folder, began_from)


@dataclass(frozen=True)
class Run:
    """A training that is ready to start; callbacks may be added to its ``trainer`` before it does."""

    trainer: lightning.Trainer
    module: PtychoModule
    data: ScanDataModule
    curves: Curves
    folder: Path | None
    began_from: str

    def train(self, resume: Path | None = None, watcher: Watcher = NOBODY) -> Fit:
        """Train, from a checkpoint of an interrupted run where one is given, and tell the watcher how it goes.

        Raises
        ------
        ConfigError
            The checkpoint is damaged, of another network or of another number of processes, or training diverged.
        DataError
            The checkpoint is that of a training on another scan.
        LostError
            Another process of the run is gone.
        Interruption
            Ctrl-C or SIGTERM: the step was finished, and its state kept where checkpoints are.
        """
        state = None if resume is None else read_state(resume)
        if state is not None:
            _check_resumable(state, resume, self.module, self.data)
        if self.folder is not None and self.trainer.is_global_zero:
            write_yaml(self.folder / "config.yaml", self.module.config, self.module.execution)
        if state is not None and state["finished"]:
            self.module.load_state_dict(state["state_dict"])
            self.curves.load_state_dict(state["callbacks"][self.curves.state_key])
        else:
            shown = self.module.execution.enable_progress_bar and self.trainer.is_global_zero
            with quietly(), progress_line(shown=shown) as line:
                self.trainer.callbacks.append(Watched(Watchers(line, watcher), self.curves))
                _run(self.trainer, self.module, self.data, resume)
        require_finite(self.curves.history["train_loss"], self.module.execution.learning_rate)
        curves = self.curves
        return Fit(self.module.pinn.eval(), curves.history, curves.seconds, curves.n_patterns, self.began_from)

    def take_steps(self, until: Callback) -> None:
        """Train until ``until`` stops it, with one step in every validation; what was learnt is of no use."""
        self.trainer.callbacks.append(until)
        self.trainer.limit_val_batches = 1
        with quietly():
            _run(self.trainer, self.module, self.data, None)


def _run(trainer: lightning.Trainer, module: PtychoModule, data: ScanDataModule, resume: Path | None) -> None:
    """Train; an interruption reaches the caller, where Lightning would end the process and switch Ctrl-C off."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    told = lost_is_told() if module.world.size > 1 else nullcontext()
    try:
        with repeatable(module.execution.deterministic), told:
            trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    except Ended as ended:
        raise Interruption(ended.number) from ended
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, on_interrupt)
        raise stop.__context__ from None
    finally:
        # The memory of a recorded step is given back; after an error too, for NCCL ends after what is recorded of it.
        module.whole = None


def check_sizes(config: TrainingConfig, training: Acquisition, validation: Acquisition | None) -> None:
    """Refuse scans whose patterns are not as large as the configuration says.

    Raises
    ------
    DataError
        With both sizes.
    """
    size = training.size
    if size != config.model.N:
        raise DataError(f"patterns are {size} x {size} px but model.N is {config.model.N}; set model.N to {size}")
    if validation is not None and validation.size != size:
        raise DataError(
            f"patterns of the validation scan are {validation.size} x {validation.size} px, expected {size} x {size} "
            "as in training; give another scan or none"
        )


def _check_resumable(state: dict[str, Any], checkpoint: Path, module: PtychoModule, data: ScanDataModule) -> None:
    kept = {name: tensor.shape for name, tensor in state["state_dict"].items()}
    if kept != {name: tensor.shape for name, tensor in module.state_dict().items()}:
        raise ConfigError(
            f"{checkpoint} was trained with another network; expected the one of this configuration; give the "
            "configuration of that run or start without --resume"
        )
    began, now = len(state["seen"].view(-1, 2)), module.world.size
    if began != now:
        raise ConfigError(
            f"{checkpoint} is of {began} process(es), expected {now} as there are now; give as many devices as the run "
            "began with, or start without --resume"
        )
    scans = zip(("training", "validation"), state["ScanDataModule"]["scans"], data.scans, strict=True)
    changed = [name for name, found, expected in scans if found != expected]
    if changed:
        raise DataError(
            f"the {changed[0]} scan is not the one that {checkpoint} was trained on; expected the same patterns, "
            "positions and probe; give that scan, or start without --resume"
        )


def require_finite(losses: list[float], learning_rate: float) -> None:
    """Refuse a training that ended without a number.

    Raises
    ------
    ConfigError
        With the epoch.
    """
    if not math.isfinite(losses[-1]):
        raise ConfigError(
            f"training diverged: the loss was {losses[-1]} in epoch {len(losses)}; expected a number; lower "
            f"learning_rate (it is {learning_rate:g}) or gradient_clip_val"
        )


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Lightning's advertisements and its advice on data loaders of our own making from the user's screen."""
    theirs = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in theirs]
    for logger in theirs:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        for logger, level in zip(theirs, levels, strict=True):
            logger.setLevel(level)


def _trainer(
    config: TrainingConfig,
    execution: PyTorchExecutionConfig,
    curves: Curves,
    n_steps: int,
    folder: Path | None,
    here: Launched,
    *,
    validates: bool,
) -> lightning.Trainer:
    device = device_of(here, execution.accelerator)
    callbacks: list[Callback] = [curves, AveragedWeights(n_steps)]
    keeps = execution.enable_checkpointing and folder is not None
    callbacks.append(Interruptions(folder / FOLDER / LAST if keeps else None, World(here.rank, here.size)))
    if keeps:
        callbacks += keepers(folder, execution, validates=validates)
    # A schedule that is planned for the whole run does its best at the end.
    if validates and config.scheduler == "ReduceLROnPlateau":
        callbacks.append(EarlyStopping("val_loss", patience=execution.early_stop_patience))
    return lightning.Trainer(
        max_epochs=config.nepochs,
        accelerator="gpu" if device.type == "cuda" else execution.accelerator,
        devices=here.local_size,
        num_nodes=here.size // here.local_size,
        strategy=execution.strategy if here.size == 1 else in_step(execution.strategy, device),
        precision=execution.precision,
        accumulate_grad_batches=execution.accum_steps,
        use_distributed_sampler=False,
        callbacks=callbacks,
        plugins=[WholeCheckpoints(), environment(here)],
        logger=False if folder is None else _loggers(str(folder), execution),
        enable_progress_bar=False,
        enable_checkpointing=keeps,
        enable_model_summary=False,
        log_every_n_steps=10,
        default_root_dir=folder,
        num_sanity_val_steps=0,
    )


def _require_logger(execution: PyTorchExecutionConfig) -> None:
    """Refuse a logger whose package is not there, also where none is made since nothing is written."""
    package = execution.logger_backend
    if package in ("tensorboard", "mlflow") and find_spec(package) is None:
        raise extra_missing(package, "track")


def _loggers(folder: str, execution: PyTorchExecutionConfig) -> list[Logger]:
    loggers: list[Logger] = []
    kinds: dict[str, Any] = {
        "tensorboard": lambda: TensorBoardLogger(folder, name="tensorboard", version=""),
        "mlflow": lambda: MLFlowLogger(experiment_name="ptychopinn", tracking_uri=f"file:{folder}/mlflow"),
    }
    if execution.logger_backend in kinds:
        loggers.append(kinds[execution.logger_backend]())
    return loggers
