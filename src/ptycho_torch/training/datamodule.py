"""The scans of a training, and the steps that it takes over them."""

import hashlib
import logging
import signal
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.arrays import Positions
from ptycho.base.blocks import blocks
from ptycho.base.errors import DataError
from ptycho.base.printable import counted
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import DEFAULT_GROUPS, TrainingConfig
from ptycho.grouping.sampling import enough_neighbours
from ptycho_torch.data.batch import Step
from ptycho_torch.data.scan import Scan
from ptycho_torch.processes.world import ALONE, World
from ptycho_torch.training.steps import Indices, Steps

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Which patterns train and which only judge; no pattern does both."""

    training: Indices
    validation: Indices

    @staticmethod
    def of(positions: Positions, members: Indices, fraction: float, rng: np.random.Generator) -> "Split":
        """Hold out a contiguous region (a seed and its nearest) of about ``fraction`` of the members, or none."""
        n_held = round(fraction * len(members))
        if n_held < 2:
            return Split(members, members[:0])
        seed = positions[rng.choice(members)]
        order = members[np.argsort(np.linalg.norm(positions[members] - seed, axis=1), kind="stable")]
        return Split(np.sort(order[n_held:]), np.sort(order[:n_held]))


def _kept(n_positions: int, n_subsample: int | None, rng: np.random.Generator) -> Indices:
    if n_subsample is None or n_subsample >= n_positions:
        return np.arange(n_positions)
    return np.sort(rng.choice(n_positions, n_subsample, replace=False))


class _AsDrawn(Dataset[Step]):
    """Steps as they are: the patterns lie on the device already."""

    def __getitem__(self, step: Step) -> Step:
        return step


def fingerprint(scan: Acquisition) -> str:
    """Return a hash of everything in a scan that training hears: one that changed is another scan."""
    digest = hashlib.sha256(f"{scan.quantity} {scan.count_scale!r}".encode())
    for array in (scan.positions, scan.probe, scan.mask, scan.patterns, scan.object_, scan.labels):
        if array is not None:
            digest.update(f"{array.dtype} {array.shape}".encode())
            for _, block in blocks(array):
                digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _leave_signals_to_the_run(_worker: int) -> None:
    """Let Ctrl-C and SIGTERM, which reach every process of a job, pass by one that loads: the run still needs it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class ScanDataModule(lightning.LightningDataModule):
    """Steps of training and validation over one scan, or over a scan and another that validates."""

    def __init__(
        self,
        config: TrainingConfig,
        execution: PyTorchExecutionConfig,
        training: Acquisition,
        validation: Acquisition | None,
        seed: int,
        world: World = ALONE,
    ) -> None:
        super().__init__()
        self.world = world
        self.config = config
        self.execution = execution
        self.seed = seed
        self.training = training
        self.validation = validation or training
        self.start = (0, 0)
        rng = np.random.default_rng(seed)
        members = _kept(training.n_positions, config.n_subsample, rng)
        if validation is None:
            self.split = Split.of(training.positions, members, config.validation_fraction, rng)
        else:
            self.split = Split(members, np.arange(validation.n_positions))
        pool = config.neighbor_pool_size if config.enable_oversampling else None
        self.n_neighbours = enough_neighbours(pool or config.neighbor_count, config.model.gridsize**2 - 1)
        least = max(2, config.model.gridsize**2)
        self._tell_limits()
        if len(self.split.training) < least:
            raise DataError(
                f"found {counted(len(self.split.training), 'position')} to train on, expected at least {least} for "
                f"gridsize {config.model.gridsize}; give a longer scan, or lower gridsize or validation_fraction"
            )

    @cached_property
    def scans(self) -> list[str]:
        """Fingerprints of the scans: of the one that trains, and of the one that judges."""
        trains = fingerprint(self.training)
        return [trains, trains if self.validation is self.training else fingerprint(self.validation)]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know: the epoch and the steps of it that are done, and what the scans are."""
        n_steps, n_done = self.trainer.num_training_batches, self.trainer.fit_loop.total_batch_idx + 1
        return {"start": divmod(n_done, n_steps), "scans": self.scans}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Start where an interrupted run ended."""
        self.start = tuple(state_dict["start"])

    def _tell_limits(self) -> None:
        """Say, once a training, where there are fewer groups or neighbours than were asked for."""
        here, config = len(self.split.training), self.config
        if config.model.gridsize == 1:
            return
        chosen = config.n_groups not in (None, DEFAULT_GROUPS)
        if chosen and config.n_groups > here and not config.enable_oversampling:
            logger.info("n_groups is %d, more than %d positions: each seeds one group", config.n_groups, here)
        if self.n_neighbours > here - 1:
            logger.info("%d neighbours are more than there are: members are drawn from %d", self.n_neighbours, here - 1)

    def load(self, device: torch.device) -> None:
        """Put the scans on the device that trains."""
        self.training_scan = Scan.of(self.training, device)
        same = self.validation is self.training
        self.validation_scan = self.training_scan if same else Scan.of(self.validation, device)

    @property
    def validates(self) -> bool:
        """Whether there are patterns enough for one validation step."""
        return len(self.split.validation) >= max(2, self.config.model.gridsize**2)

    def _loader(
        self,
        acquisition: Acquisition,
        members: Indices,
        *,
        fixed: bool,
        oversampled: bool,
        start: tuple[int, int] = (0, 0),
    ) -> DataLoader[Step]:
        steps = Steps(
            *(self.config, acquisition.positions, members, self.n_neighbours, self.seed),
            fixed=fixed,
            oversampled=oversampled,
            start=start,
            world=self.world,
        )
        workers = self.execution.num_workers
        return DataLoader(
            _AsDrawn(),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            worker_init_fn=_leave_signals_to_the_run,
            pin_memory=self.execution.pin_memory,
            persistent_workers=self.execution.persistent_workers and workers > 0,
            prefetch_factor=self.execution.prefetch_factor if workers else None,
        )

    def train_dataloader(self) -> DataLoader[Step]:
        """Return the steps of training; every epoch draws its own."""
        fixed, oversampled = self.config.sequential_sampling, self.config.enable_oversampling
        return self._loader(self.training, self.split.training, fixed=fixed, oversampled=oversampled, start=self.start)

    def val_dataloader(self) -> list[DataLoader[Step]]:
        """Return the steps of validation, the same in every epoch; none without held-out patterns.

        Every pattern seeds one group at most: more would say the same again.
        """
        if not self.validates:
            return []
        return [self._loader(self.validation, self.split.validation, fixed=True, oversampled=False)]
