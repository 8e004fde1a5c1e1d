"""What the live page shows: the run writes it, viewers read it, and nobody waits for the other."""

import threading
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from ptycho.base.arrays import Object
from ptycho.base.watching import Progress, Watcher
from ptycho.live.pictures import draw
from ptycho.report.drawing import Limits

EVERY = 2.0  # s between two pictures at least, and the longest that a viewer waits for an answer
DRAWING = 0.01  # of the time, at most, that pictures may take from the run: large ones come less often
POINTS = 400  # of a curve that are sent, at most


class Board(Watcher):
    """The state of one run.

    Parameters
    ----------
    title
        What is worked on, in words.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Progress | None = None
        self._curves: dict[str, list[float]] = {}
        self._outcome = "running"
        self._ended = threading.Event()
        self._looked = threading.Event()
        self._due = 0.0
        self._picture: tuple[Object, Float32[ndarray, "height width"]] | None = None
        self._drawing = threading.Lock()
        self._version = 0
        self._drawn: dict[str, tuple[bytes, Limits]] = {}

    def see(self, progress: Progress) -> None:
        """Keep how far the run is."""
        self._progress = progress

    def add(self, curve: str, value: float) -> None:
        """Keep a point of a curve."""
        self._curves.setdefault(curve, []).append(value)

    @property
    def wants_picture(self) -> bool:
        """Whether somebody has looked since the last picture, and that is a while ago."""
        return self._looked.is_set() and time.monotonic() >= self._due

    def draw(self, object_: Object, coverage: Float32[ndarray, "height width"]) -> None:
        """Keep the object; it becomes a picture when somebody looks next."""
        self._looked.clear()
        self._due = time.monotonic() + EVERY
        self._picture = (object_, coverage)

    def end(self, outcome: str) -> None:
        """Say how the run ended, at once to everybody who waits."""
        self._outcome = outcome
        self._ended.set()

    def wait(self) -> None:
        """Wait for a while, or until the run ends."""
        self._ended.wait(EVERY)

    def state(self) -> dict[str, Any]:
        """Return everything but the pictures, for somebody who looks; numbers that are not finite become None."""
        self._looked.set()
        self._encode()
        progress = self._progress
        return {
            "title": self._title,
            "outcome": self._outcome,
            "progress": None if progress is None else asdict(progress) | {"value": _number(progress.value)},
            "curves": {name: _thinned(list(values)) for name, values in list(self._curves.items())},
            "picture": self._version,
            "limits": {name: limits for name, (_, limits) in self._drawn.items()},
        }

    def png(self, name: str) -> bytes | None:
        """Return the picture "amplitude" or "phase" as it was when the state was last asked for; None before that."""
        drawn = self._drawn.get(name)
        return None if drawn is None else drawn[0]

    def _encode(self) -> None:
        with self._drawing:
            picture, self._picture = self._picture, None
            if picture is not None:
                begun = time.monotonic()
                self._drawn = draw(*picture)
                self._version += 1
                now = time.monotonic()
                self._due = max(self._due, now + (now - begun) / DRAWING)


def _number(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _thinned(values: list[float]) -> list[tuple[int, float | None]]:
    """Return (number, value) of the points of a curve, evenly thinned out; the last is always there."""
    last = len(values) - 1
    step = max(1, -(-last // POINTS))
    return [(index + 1, _number(values[index])) for index in sorted(range(last, -1, -step))]
