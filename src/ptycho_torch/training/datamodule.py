"""Which patterns each step of training sees."""

import hashlib
import logging
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from torch.utils.data import DataLoader, Dataset, Sampler

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.arrays import Positions
from ptycho.base.blocks import blocks
from ptycho.base.errors import DataError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import DEFAULT_GROUPS, TrainingConfig
from ptycho.grouping.neighbours import nearest
from ptycho.grouping.regions import RegionSampler, region_sides
from ptycho.grouping.sampling import enough_neighbours, join
from ptycho_torch.data.batch import Step
from ptycho_torch.data.scan import Scan
from ptycho_torch.processes.world import ALONE, World

logger = logging.getLogger(__name__)

Indices = Int64[ndarray, " _"]
# A step is far flung when its canvas has this many times the pixels of a usual one, and a usual canvas has N / 8 px to
# spare, for the steps of later epochs.
FAR_FLUNG = 2
ROOM = 8


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


class _Steps(Sampler[Step]):
    """An epoch of steps, each the patterns (region, member) of one batch.

    All steps that are not far flung have canvases of the same sides: what a GPU does in a step is the same every time.

    Lightning names the epoch before it begins, so that a resumed run sees what an uninterrupted one would have seen:
    one that goes on inside the epoch of ``start`` leaves out the steps that ``start`` counts. Every process of a run
    draws the same steps, of as many regions as all of them take together, and yields its share.
    """

    def __init__(
        self,
        config: TrainingConfig,
        positions: ndarray,
        members: Indices,
        n_neighbours: int,
        seed: int,
        *,
        fixed: bool,
        oversampled: bool,
        start: tuple[int, int],
        world: World,
    ) -> None:
        self.world = world
        self.positions = positions[members]
        self.members = members
        self.batch_size = config.batch_size
        self.canvas_size = config.canvas_size
        self.config = config
        self.n_neighbours = n_neighbours
        self.fixed = fixed
        self.oversampled = oversampled
        self.seed = seed
        self.start = start
        self.set_epoch(start[0])
        if config.model.gridsize > 1:
            self._neighbours = nearest(self.positions, min(n_neighbours, len(members) - 1))
        self._start_regions()

    def __len__(self) -> int:
        return -(-self._n_items() // (self.batch_size * self.world.size))

    def _n_items(self) -> int:
        if self.config.model.gridsize == 1:
            return len(self.members)
        wanted = self.config.n_groups or len(self.members)
        return wanted if self.oversampled else min(wanted, len(self.members))

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next steps belong to; one that is fixed is always the first."""
        self.epoch = 0 if self.fixed else epoch
        self.n_done = self.start[1] if epoch == self.start[0] else 0

    def __iter__(self) -> Iterator[Step]:
        waiting: Step | None = None
        for step in self._drawn_steps():
            if waiting is not None:
                yield replace(waiting, then=step.groups.reshape(-1))
            waiting = step
        if waiting is not None:
            yield waiting

    def _drawn_steps(self) -> Iterator[Step]:
        usual = self.sides
        for number, seeds in enumerate(self._seeds(self.epoch)):
            if number >= self.n_done:
                local = self._grouped(seeds, self.epoch, number)
                height, width = np.maximum(usual, self._sides_of(local)).tolist()
                share = self.members[local][self.world.share(len(local))]
                yield Step(torch.from_numpy(share), (height, width))

    @cached_property
    def sides(self) -> ndarray:
        """Sides (height, width) of the canvas of a region, px, with room for all but far-flung steps."""
        first = enumerate(self._seeds(0))
        needed = np.array([self._sides_of(self._grouped(seeds, 0, number)) for number, seeds in first])
        area = needed.prod(axis=1)
        return needed[area <= FAR_FLUNG * np.median(area)].max(axis=0) + self.config.model.N // ROOM

    def _sides_of(self, local: ndarray) -> tuple[int, int]:
        return region_sides(self.positions[local], self.config.model.N)

    def _seeds(self, epoch: int) -> Iterable[ndarray]:
        in_order = self.config.sequential_sampling and self.config.model.gridsize > 1
        return self._in_order() if in_order else self._regions(epoch)

    def _start_regions(self) -> None:
        on_a_canvas = max(1, self.canvas_size // self.config.model.gridsize**2)
        n_regions = -(-self.batch_size // on_a_canvas)
        self._n_regions = n_regions * self.world.size
        self._per_region = min(-(-self.batch_size // n_regions), len(self.members))
        self._sampler = RegionSampler(self.positions, self._per_region)
        self._start_drawing(0)

    def _start_drawing(self, epoch: int) -> None:
        self._epoch_drawn = epoch
        self._drawn: list[ndarray] = []
        self._rng = np.random.default_rng([self.seed, epoch])

    def _regions(self, epoch: int) -> Iterator[ndarray]:
        """Yield the seeds (region, seed) of an epoch's steps; what all epochs before it saw least comes first.

        A step is drawn when it is asked for: meanwhile a GPU takes the one before. However many GPUs there are, each
        process draws the regions of all, and those of a whole epoch would keep them waiting.
        """
        if epoch < self._epoch_drawn:
            self._start_regions()
        while self._epoch_drawn < epoch:
            for number in range(len(self)):
                self._drawn_seeds(number)
            self._start_drawing(self._epoch_drawn + 1)
        for number in range(len(self)):
            yield self._drawn_seeds(number)

    def _drawn_seeds(self, number: int) -> ndarray:
        """Return the seeds of one step of the epoch that is drawn; steps are drawn in their order."""
        while len(self._drawn) <= number:
            self._drawn.append(self._sampler.draw(self._n_regions, self._rng))
        return self._drawn[number]

    def _in_order(self) -> list[ndarray]:
        """Return the first positions of the scan in their order, (process, seed) a step."""
        n = self.world.size
        # The same number for every process: the last ones come twice where they could not be dealt out.
        seeds = np.arange(-(-self._n_items() // n) * n) % len(self.members)
        steps = np.split(seeds, range(n * self.batch_size, len(seeds), n * self.batch_size))
        return [step.reshape(n, -1) for step in steps]

    def _grouped(self, seeds: ndarray, epoch: int, step: int) -> ndarray:
        """Return the members (region, member) of the groups of seeds, group after group; each draws its neighbours."""
        if self.config.model.gridsize == 1:
            return seeds
        rng = np.random.default_rng([self.seed, epoch, step])
        groups = join(seeds.ravel(), self._neighbours, self.config.model.gridsize**2, rng)
        return groups.reshape(len(seeds), -1)


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
                f"found {len(self.split.training)} positions to train on, expected at least {least} for gridsize "
                f"{config.model.gridsize}; give a longer scan, or lower gridsize or validation_fraction"
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
        steps = _Steps(
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
