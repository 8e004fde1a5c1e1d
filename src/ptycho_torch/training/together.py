"""What Lightning is told of the other processes of a run; what they add up, they add up in `World`."""

import os

import torch
from lightning.fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from ptycho.base.errors import ConfigError, LostError
from ptycho.base.launched import Launched, patience
from ptycho_torch.processes.world import backend_of


class InStep(DDPStrategy):
    """Processes that meet, and take the same steps of a module that averages its gradients itself.

    PyTorch's wrapper for that has hooks at every gradient, which know nothing of a step that is recorded as a whole.
    """

    def configure_ddp(self) -> None:
        """Leave the module as it is."""

    def on_exception(self, exception: BaseException) -> None:
        """Let go of a process that is lost: in a recorded step a GPU waits for it, and this process for the GPU."""
        if isinstance(exception, LostError) and self.root_device.type == "cuda" and distributed.group.WORLD is not None:
            distributed.group.WORLD._get_backend(self.root_device).abort()


def in_step(strategy: str, device: torch.device) -> InStep:
    """Return how several processes train together.

    Raises
    ------
    ConfigError
        Another way was asked for.
    """
    if strategy not in ("auto", "ddp"):
        raise ConfigError(f"strategy is {strategy!r} for several devices; expected auto or ddp; choose one of these")
    return InStep(process_group_backend=backend_of(device), timeout=patience())


def environment(here: Launched) -> LightningEnvironment | TorchElasticEnvironment:
    """Return how Lightning finds the other processes, whoever started them; a run alone looks for none."""
    if here.size == 1:
        return LightningEnvironment()
    os.environ.update(here.variables())
    return TorchElasticEnvironment()
