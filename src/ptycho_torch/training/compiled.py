"""The body of a network, compiled for a run that is long enough to pay for it."""

import logging
from typing import Any

import torch
from torch import Tensor

from ptycho.config.training import TrainingConfig
from ptycho_torch.networks.unet import ResidualUNet

logger = logging.getLogger(__name__)

# Pixels of patterns in a run that is worth compiling for: an H200 takes 10 to 20 s for that, and saves as much on so
# many (240,000 patterns of 64 x 64 px a second become 360,000: benchmarks/speed.py).
WORTH = 5e10


def pays(config: TrainingConfig, n_steps: int) -> bool:
    """Return whether a run of so many steps is long enough to be worth a compiler's time."""
    patterns = n_steps * config.batch_size * config.model.gridsize**2
    return patterns * config.model.N**2 >= WORTH


class CompiledBody:
    """Stands in for `ResidualUNet.said`: compiled for the first shape that training shows it, as it is for all else.

    Weights and their names stay where they are. Complex numbers begin behind the body, which suits the compiler: it
    makes no code for them. Where it fails that is said once, and the network stays as it is.

    Parameters
    ----------
    network
        Whose body it is.
    """

    def __init__(self, network: ResidualUNet) -> None:
        self._parameters = list(network.parameters())
        self._plain = self._compiled = network.said
        self._shape: torch.Size | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the images that the body makes of those that it sees."""
        if not torch.is_grad_enabled():
            return self._plain(x)
        if self._shape is None:
            self._shape = x.shape
            self._compile(x)
        return self._compiled(x) if x.shape == self._shape else self._plain(x)

    def _compile(self, like: Tensor) -> None:
        """Try it forwards and backwards, which leaves no trace."""
        compiled: Any = torch.compile(self._plain, dynamic=False)
        example = torch.zeros_like(like, requires_grad=like.requires_grad)
        try:
            torch.autograd.grad(compiled(example).float().sum(), self._parameters, allow_unused=True)
        except Exception as error:  # a compiler fails in many ways, and none of them is worth a run
            logger.warning("the network is not compiled: the compiler failed (%s)", str(error).strip().splitlines()[0])
        else:
            self._compiled = compiled
