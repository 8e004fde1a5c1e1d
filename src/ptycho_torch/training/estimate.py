"""How long a training will take and what memory it needs, from a few real steps."""

import resource
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.config.training import TrainingConfig
from ptycho.grouping.regions import RegionSampler
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.data.batch import gather
from ptycho_torch.data.scan import Scan
from ptycho_torch.pinn.build import Constants, build, objective_of, probe_support

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
    objective = objective_of(config)
    data = Scan.of(scan, device)
    n_members = min(config.batch_size, config.canvas_size, scan.n_positions)
    groups = RegionSampler(scan.positions, n_members).draw(1, np.random.default_rng(0))
    batch = gather(data, torch.from_numpy(groups).to(device))
    for step in range(WARM_UP + MEASURED):
        if step == WARM_UP:
            started = _now(device)
        prediction = pinn(batch)
        objective(prediction.counts, batch.counts, data.mask, prediction.canvas, prediction.coverage).backward()
    rate = MEASURED * n_members / (_now(device) - started)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident()
    return Estimate(str(device), rate, config.nepochs * scan.n_positions / rate / 60, peak / 2**30)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _resident() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
