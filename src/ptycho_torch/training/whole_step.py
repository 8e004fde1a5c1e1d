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

from ptycho_torch.data.batch import Step

logger = logging.getLogger(__name__)

# Steps of a shape that are taken before one is recorded: libraries choose their algorithms, the optimiser its state.
EAGER = 2


@dataclass(frozen=True)
class Taken:
    """What a step leaves beside new weights: its loss, and the patches (group, channel, y, x) that were predicted."""

    loss: Tensor
    patches: Tensor


Take = Callable[[], Taken]


@runtime_checkable
class Recorder(Protocol):
    """How a device records work, to do it again without being told kernel by kernel."""

    def aside(self, take: Take) -> Taken:
        """Do the work once, where it would be recorded."""

    def record(self, take: Take, draws: Sequence[torch.Generator]) -> Take:
        """Record the work, which draws from ``draws`` alone, without doing it; return what does it again."""


class CudaGraphs:
    """Records a CUDA graph; what is done aside is done on the stream that records."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    def aside(self, take: Take) -> Taken:
        """Do the work once on the stream that records, in its turn."""
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            taken = take()
        here.wait_stream(self._stream)
        return taken

    def record(self, take: Take, draws: Sequence[torch.Generator]) -> Take:
        """Record the work; the memory that it leaves its results in stays theirs."""
        graph = torch.cuda.CUDAGraph()
        for rng in draws:
            graph.register_generator_state(rng)
        # Other threads, such as one that pins memory, may go on using the device.
        here = torch.cuda.current_stream(self._stream.device)
        with torch.cuda.stream(here), torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            taken = take()

        def again() -> Taken:
            graph.replay()
            return taken

        return again


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
            if not self._tried and self._n_taken[shape] > EAGER:
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
            # What ends a recording that failed has an error of its own.
            first = str(error.__context__ or error).splitlines()[0]
            logger.warning("steps are taken kernel by kernel: recording one as a CUDA graph failed (%s)", first)
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
