"""How long a training will take and what memory it needs, from a few real steps."""

import resource
import sys
import time
from dataclasses import dataclass

import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.data.scan import Scan
from ptycho_torch.pinn.build import Constants, build, loss_of, objective_of, probe_support
from ptycho_torch.training.datamodule import ScanDataModule

WARM_UP = 2
MEASURED = 3


@dataclass(frozen=True)
class Estimate:
    """A forecast for the configuration: device, patterns a second, minutes for all epochs, GiB at the peak."""

    device: str
    patterns_per_second: float
    minutes: float
    gibibytes: float


def estimate(scan: Acquisition, config: TrainingConfig, accelerator: str = "auto") -> Estimate:
    """Take a few training steps of the configured network on a scan and extrapolate; nothing is kept."""
    device = resolve_device(accelerator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pinn = build(config.model, config, Constants.of(scan, probe_support(config.model))).to(device)
        steps = ScanDataModule(config, PyTorchExecutionConfig(), scan, None, seed=0).train_dataloader()
        groups = next(iter(steps)).to(device)
    loss = loss_of(config.model, scan, Scan.of(scan, device), objective_of(config))
    for step in range(WARM_UP + MEASURED):
        if step == WARM_UP:
            started = _now(device)
        loss(pinn, groups).backward()
    seconds = (_now(device) - started) / MEASURED
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident()
    minutes = config.nepochs * len(steps) * seconds / 60
    return Estimate(str(device), groups.numel() / seconds, minutes, peak / 2**30)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _resident() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
