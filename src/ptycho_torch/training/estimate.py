"""How long a training will take and what memory it needs, from a few of its own steps."""

import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.errors import ConfigError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.base.recording import REHEARSALS
from ptycho_torch.training.fit import Run, prepare

# What is measured are replays, where steps are recorded.
WARM_UP = REHEARSALS + 1
MEASURED = 3
# Slow steps end the trial: what has been measured by then has to do.
LONGEST = 6.0  # s


@dataclass(frozen=True)
class Estimate:
    """A forecast for the configuration.

    Attributes
    ----------
    device
        Where the trial ran.
    patterns_per_second
        Patterns trained on in a second.
    minutes
        For all epochs, with validation.
    gibibytes
        Memory at the peak: of the process on a CPU, on the device elsewhere.
    available_gibibytes
        Memory that the process can have there.
    """

    device: str
    patterns_per_second: float
    minutes: float
    gibibytes: float
    available_gibibytes: float


def estimate(scan: Acquisition, config: TrainingConfig, execution: PyTorchExecutionConfig | None = None) -> Estimate:
    """Take a few training steps of the configured network on a scan and extrapolate; nothing is kept or written."""
    with isolate_rng():
        return try_steps(prepare(config, execution or PyTorchExecutionConfig(), scan, folder=None))


def try_steps(run: Run) -> Estimate:
    """Take the first steps of a run that is ready and writes nothing, and extrapolate; the run is used up.

    Raises
    ------
    ConfigError
        The device has too little memory for one step.
    """
    trial = _Trial()
    device = run.trainer.strategy.root_device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        run.take_steps(trial)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"one step of batch_size {run.module.config.batch_size} needs more memory than {device} has "
            f"({_available(device) / 2**30:.1f} GiB); lower batch_size, canvas_size or the width of the network"
        ) from error
    step = sum(trial.steps[-MEASURED:]) / len(trial.steps[-MEASURED:])
    epoch = len(run.data.train_dataloader()) * step
    if run.data.validates:
        epoch += sum(len(steps) for steps in run.data.val_dataloader()) * trial.validation
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident()
    return Estimate(
        device=str(device),
        patterns_per_second=trial.n_patterns / step,
        minutes=run.module.config.nepochs * epoch / 60,
        gibibytes=peak / 2**30,
        available_gibibytes=_available(device) / 2**30,
    )


class _Trial(lightning.Callback):
    """Measures the first steps and one of validation, then stops the run."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.validation = 0.0
        self.n_patterns = 0
        self._since = self._began = time.perf_counter()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._since = _now(pl_module.device)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = _now(pl_module.device)
        self.steps.append(now - self._since)
        self.n_patterns = batch.numel()
        if len(self.steps) == WARM_UP + MEASURED or now - self._began > LONGEST:
            trainer.should_stop = True

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self._since = _now(pl_module.device)

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.validation = _now(pl_module.device) - self._since


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _resident() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _available(device: torch.device) -> int:
    """Return the bytes that this process can have: what is free, and what it has already."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return _free_memory() + _resident()


def _free_memory() -> int:
    """Return the bytes that programs can still have, by Linux's own count; elsewhere all that the machine has."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
