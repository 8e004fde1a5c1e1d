"""A whole step of training, loss to new weights, as one graph of a GPU: told once what to do, it waits for nobody."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer

from ptycho_torch.base.recording import REHEARSALS, why_not
from ptycho_torch.data.batch import Step

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What a step leaves beside new weights: its loss, and the patches (group, channel, y, x) that were predicted."""

    loss: Tensor
    patches: Tensor


Take = Callable[[], Taken]


@runtime_checkable
class Recorder(Protocol):
    """How a device records work: `ptycho_torch.base.recording.CudaGraphs`."""

    def aside(self, work: Take) -> Taken:
        """Do the work once, where it would be recorded."""

    def record(self, work: Take, draws: Sequence[torch.Generator]) -> Take:
        """Record the work, which draws from ``draws`` alone, without doing it; return what does it again."""


class WholeStep:
    """Takes steps of training; the first shape that comes again and again is recorded once and then replayed.

    A step of another shape is taken kernel by kernel, with the same result.

    Parameters
    ----------
    take
        Takes a step, from zeroed gradients to new weights: the same work for the same shape, nothing read back.
    optimizer
        Of one group of parameters. While a step is taken its learning rate is a tensor, which a replay reads anew; to
        everybody else it is a number.
    recorder
        How the device records.
    draws
        What the step draws from, seeded from outside.
    """

    def __init__(
        self,
        take: Callable[[Step], Taken],
        optimizer: Optimizer,
        recorder: Recorder,
        draws: Sequence[torch.Generator] = (),
    ) -> None:
        self._take = take
        (self._group,) = optimizer.param_groups
        self._recorder = recorder
        self._draws = draws
        self._rate = torch.zeros((), device=self._group["params"][0].device)
        self._n_taken: Counter[tuple[object, ...]] = Counter()
        self._tried = False
        # What does the recorded work, and the step whose indices it reads.
        self._again: Take | None = None
        self._fixed: Step

    def __call__(self, step: Step) -> Taken:
        """Take a step; what is returned holds until the next."""
        shape = _shape(step)
        self._n_taken[shape] += 1
        with self._rate_on_the_device():
            if not self._tried and self._n_taken[shape] > REHEARSALS:
                self._record(step)
            if self._again is None or shape != _shape(self._fixed):
                return self._recorder.aside(lambda: self._take(step))
            self._fixed.groups.copy_(step.groups)
            return self._again()

    def _record(self, step: Step) -> None:
        """Record the work of a step of this shape, or say once why it can't be."""
        self._tried = True
        self._fixed = fixed = replace(step, groups=step.groups.clone())
        self._group["capturable"] = True
        try:
            self._again = self._recorder.record(lambda: self._take(fixed), self._draws)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = why_not(error)
            logger.warning("steps are taken kernel by kernel: recording one as a CUDA graph failed (%s)", why)
        finally:
            self._group["capturable"] = False

    @contextmanager
    def _rate_on_the_device(self) -> Iterator[None]:
        """Let the optimiser read its learning rate from a tensor."""
        rate = self._group["lr"]
        self._group["lr"] = self._rate.fill_(rate)
        try:
            yield
        finally:
            self._group["lr"] = rate


def _shape(step: Step) -> tuple[object, ...]:
    return (*step.groups.shape, step.sides)
