"""Which patterns each step of training sees."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from torch.utils.data import Sampler

from ptycho.config.training import TrainingConfig
from ptycho.grouping.neighbours import nearest
from ptycho.grouping.regions import RegionSampler, region_sides
from ptycho.grouping.sampling import join
from ptycho_torch.data.batch import Step
from ptycho_torch.processes.world import World

Indices = Int64[ndarray, " _"]
# A step is far flung when its canvas has this many times the pixels of a usual one, and a usual canvas has N / 8 px to
# spare, for the steps of later epochs.
FAR_FLUNG = 2
ROOM = 8


class Steps(Sampler[Step]):
    """An epoch of steps, each the patterns (region, member) of one batch.

    All steps that are not far flung have canvases of the same sides: what a GPU does in a step is the same every time.

    Lightning names the epoch before it begins, so that a resumed run sees what an uninterrupted one would have seen:
    one that goes on inside the epoch of ``start`` leaves out the steps that ``start`` counts. Every process of a run
    draws the same steps, of as many regions as all of them take together, and yields its share.

    Parameters
    ----------
    config
        How many patterns make a step, and how they are drawn.
    positions, members
        Of all frames of the scan, (y, x) px; and which of them are drawn.
    n_neighbours
        Nearest neighbours that the members of a group are drawn from.
    seed
        What all draws follow from.
    fixed
        Whether every epoch takes the steps of the first.
    oversampled
        Whether there may be more groups than patterns to seed them.
    start
        Epoch where a run begins, and steps of it that are done.
    world
        The processes that share every step.
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
