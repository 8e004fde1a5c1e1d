"""What a GPU is told once and does again and again: a pass as one launch, a network as fewer and larger kernels."""

import logging
from collections.abc import Callable, Sequence
from typing import Generic, ParamSpec, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor

from ptycho_torch.base.recording import REHEARSALS, CudaGraphs, why_not

logger = logging.getLogger(__name__)

# Calls after which it pays to record a function.
RECORDED_FROM = 4

Pass = Callable[[Int64[Tensor, "group member"]], None]
Given, Found = ParamSpec("Given"), TypeVar("Found")


class Captured:
    """A pass over groups of one number as a CUDA graph: the processor launches it whole, and waits for nothing.

    Parameters
    ----------
    one_pass
        What is done with groups: all on the GPU, without reading anything back, in place where it lasts.
    shape
        Groups in a pass, and members of each.
    nobody
        Number of a frame that is none: it fills up a pass with fewer groups and adds nothing.
    device
        The GPU.
    """

    def __init__(self, one_pass: Pass, shape: tuple[int, int], nobody: int, device: torch.device) -> None:
        self._nobody = nobody
        # A graph knows where things lie, and not whether they are still there.
        self._one_pass = one_pass
        self._groups = torch.full(shape, nobody, device=device)
        graphs = CudaGraphs(device)
        for _ in range(REHEARSALS):
            graphs.aside(lambda: one_pass(self._groups))
        self._again = graphs.record(lambda: one_pass(self._groups))

    def __call__(self, groups: Int64[Tensor, "group member"], _then: Tensor | None = None) -> None:
        """Do the pass with as many groups, or with fewer; what comes next lies on the GPU as well."""
        self._groups[: len(groups)].copy_(groups)
        self._groups[len(groups) :].fill_(self._nobody)
        self._again()


class Replayed(Generic[Found]):
    """A function of tensors that is asked again and again: a GPU records it, and replays it as one launch.

    Recording costs as much as a few calls: the graph is made when the function has been asked some times. What is
    returned holds until the next call.

    Parameters
    ----------
    function
        All on the GPU, without reading anything back; what it needs beside what it is given stays where it is.
    what
        Its name in the warning where it can't be recorded.
    """

    def __init__(self, function: Callable[..., Found], what: str) -> None:
        self._function = function
        self._what = what
        self._left = RECORDED_FROM
        self._given: list[Tensor]
        self._again: Callable[[], Found] | None = None

    def __call__(self, *given: Tensor) -> Found:
        """Return the function of some tensors."""
        if self._left == 0:
            self._record(given)
        self._left -= 1
        if self._again is None:
            return self._function(*given)
        for fixed, tensor in zip(self._given, given, strict=True):
            fixed.copy_(tensor)
        return self._again()

    def _record(self, like: Sequence[Tensor]) -> None:
        """Record the function, or say why it can't be."""
        self._given = fixed = [tensor.clone() for tensor in like]
        try:
            self._again = CudaGraphs(like[0].device).record(lambda: self._function(*fixed))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = why_not(error)
            logger.warning("%s runs kernel by kernel: recording it as a CUDA graph failed (%s)", self._what, why)


def by_compiler(function: Callable[Given, Found], what: str) -> Callable[Given, Found]:
    """Return a function of tensors as fewer and larger kernels, compiled when tensors of new shapes first come.

    Where there is no compiler a warning says so, and the function runs as it is.

    Parameters
    ----------
    function
        In real arithmetic.
    what
        Its name in the warning.
    """
    ways: list[Callable[Given, Found]] = [function, torch.compile(function, dynamic=False)]

    def call(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        try:
            return ways[-1](*args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if len(ways) == 1:
                raise
            logger.warning("%s runs without being compiled, which is slower: %s", what, str(error).splitlines()[0])
            ways.pop()
            return function(*args, **kwargs)

    return call
