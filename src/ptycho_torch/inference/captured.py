"""What a GPU is told once and does again and again: a pass as one launch, a network as fewer and larger kernels."""

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from jaxtyping import Complex64, Float, Int64
from torch import Tensor, nn

from ptycho_torch.base.recording import REHEARSALS, CudaGraphs

logger = logging.getLogger(__name__)

Pass = Callable[[Int64[Tensor, "group member"]], None]
Images = Float[Tensor, "group seen y x"]
Patches = Complex64[Tensor, "group member y x"]
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


def compiled(function: Callable[Given, Found], what: str) -> Callable[Given, Found]:
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


def compiled_network(network: nn.Module) -> Callable[[Images], Patches]:
    """Return images -> patches by a network that is `compiled` but for its complex numbers."""

    def parts(images: Images) -> Float[Tensor, "group member y x 2"]:
        amplitude, phase = (part.float() for part in network.amplitude_and_phase(images))
        return torch.stack([amplitude * phase.cos(), amplitude * phase.sin()], dim=-1)

    fast = compiled(parts, "the network")
    return lambda images: torch.view_as_complex(fast(images))
