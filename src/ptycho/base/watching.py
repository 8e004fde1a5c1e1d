"""What a long computation tells those who watch it; the computation does not know who they are."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float32
from numpy import ndarray

from ptycho.base.arrays import Object

# Longest side of a picture for somebody who watches, px; a larger object is thinned out before it leaves its device.
PICTURE_SIDE = 1024


@dataclass(frozen=True)
class Progress:
    """How far a stage of a run is.

    Attributes
    ----------
    stage
        What is being done, such as "training".
    done, total
        Steps, batches or iterations; where time ends the stage, ``total`` is as many as it suffices for at this pace.
    measure, value
        What is made small, such as "loss", and what it is now; None where that is not known yet.
    unit, rate
        What is counted, and how many of them a second; 0 before the first.
    seconds_left
        Time that the rest will take at this pace, s; None before anything is known.
    """

    stage: str
    done: int
    total: int
    measure: str
    value: float | None
    unit: str
    rate: float
    seconds_left: float | None


class Watcher:
    """Somebody who watches a run. This one looks away; others override what they want to see."""

    def see(self, progress: Progress) -> None:
        """Hear how far the run is."""

    def add(self, curve: str, value: float) -> None:
        """Hear the next value of a curve, such as "training loss"."""

    @property
    def wants_picture(self) -> bool:
        """Whether a picture would be looked at; making one costs time."""
        return False

    def draw(self, object_: Object, coverage: Float32[ndarray, "height width"]) -> None:
        """Take the object as it is now, and the light on it, counts."""


NOBODY = Watcher()


class Watchers(Watcher):
    """Several who watch the same run."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers: Sequence[Watcher] = watchers

    def see(self, progress: Progress) -> None:
        """Tell everybody."""
        for watcher in self._watchers:
            watcher.see(progress)

    def add(self, curve: str, value: float) -> None:
        """Tell everybody."""
        for watcher in self._watchers:
            watcher.add(curve, value)

    @property
    def wants_picture(self) -> bool:
        """Whether anybody wants one."""
        return any(watcher.wants_picture for watcher in self._watchers)

    def draw(self, object_: Object, coverage: Float32[ndarray, "height width"]) -> None:
        """Give the picture to those who want it."""
        for watcher in self._watchers:
            if watcher.wants_picture:
                watcher.draw(object_, coverage)


class Aside(Watcher):
    """Passes on how far a work beside the main one is, under a name of its own; its curves and pictures are not shown.

    Parameters
    ----------
    watcher
        Who is told.
    stage
        The name.
    """

    def __init__(self, watcher: Watcher, stage: str) -> None:
        self._watcher = watcher
        self._stage = stage

    def see(self, progress: Progress) -> None:
        """Tell it under the name."""
        self._watcher.see(replace(progress, stage=self._stage))


class Stage:
    """A stage of a run with its clock: it measures the pace and tells the watcher.

    Parameters
    ----------
    watcher
        Who is told.
    name, total, measure, unit
        As `Progress` has them.
    begun
        Steps that an earlier run has made already.
    time_limit
        Seconds after which the stage ends with the step that is made then, where it has not made ``total``.
    """

    def __init__(
        self,
        watcher: Watcher,
        name: str,
        total: int,
        *,
        measure: str,
        unit: str,
        begun: int = 0,
        time_limit: float = math.inf,
    ) -> None:
        self._watcher, self._name, self._total = watcher, name, total
        self._measure, self._unit, self._begun, self._time_limit = measure, unit, begun, time_limit
        self._since = time.perf_counter()
        self._counted = 0
        self._tell(begun, None)

    def advance(self, done: int, counted: int, value: float | None = None) -> None:
        """Say that ``done`` steps are behind us, the last of ``counted`` units, and what the measure is now."""
        self._counted += counted
        self._tell(done, value)

    def _tell(self, done: int, value: float | None) -> None:
        seconds = max(time.perf_counter() - self._since, 1e-9)
        made = done - self._begun
        total = self._total
        if made > 0:
            total = max(done, math.ceil(min(total, self._begun + self._time_limit * made / seconds)))
        left = (total - done) * seconds / made if made > 0 else None
        rate = self._counted / seconds
        self._watcher.see(Progress(self._name, done, total, self._measure, value, self._unit, rate, left))
