"""What a GPU is told once and does again and again: a pass as one launch, a network as fewer and larger kernels."""

import logging
from collections.abc import Callable

import torch
from jaxtyping import Complex64, Float, Int64
from torch import Tensor, nn

from ptycho_torch.base.recording import REHEARSALS, CudaGraphs

logger = logging.getLogger(__name__)

Pass = Callable[[Int64[Tensor, "group member"]], None]
Patches = Complex64[Tensor, "group member y x"]


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


class CompiledNetwork:
    """Images to patches by a network that is compiled when it is first called; complex numbers stay outside.

    Where there is no compiler a warning says so and the network runs as it is.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._parts: Callable[[Tensor], Tensor] = torch.compile(self._plain_parts, dynamic=False)

    def _plain_parts(self, images: Float[Tensor, "group seen y x"]) -> Float[Tensor, "group member y x 2"]:
        """Return real and imaginary parts."""
        amplitude, phase = (part.float() for part in self._network.amplitude_and_phase(images))
        return torch.stack([amplitude * phase.cos(), amplitude * phase.sin()], dim=-1)

    def __call__(self, images: Float[Tensor, "group seen y x"]) -> Patches:
        """Return one complex patch for every pattern."""
        try:
            parts = self._parts(images)
        except RuntimeError as error:
            if self._parts == self._plain_parts:
                raise
            logger.warning("the network runs without being compiled, which is slower: %s", str(error).splitlines()[0])
            self._parts = self._plain_parts
            parts = self._parts(images)
        return torch.view_as_complex(parts)
