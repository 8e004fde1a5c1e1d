"""Which device does the work."""

from typing import TYPE_CHECKING

from ptycho.base.errors import ConfigError
from ptycho.base.launched import Launched

if TYPE_CHECKING:
    import torch


def device_of(here: Launched, accelerator: str) -> "torch.device":
    """Return the device of a process of a run: of several on a machine each has a GPU of its own, as far as there are.

    Raises
    ------
    ConfigError
        The accelerator is not there.
    """
    import torch

    device = resolve_device(accelerator)
    if here.size == 1 or device.type != "cuda":
        return device
    device = torch.device("cuda", here.local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def resolve_device(accelerator: str) -> "torch.device":
    """Return the device of an accelerator name ("auto", "cpu", "gpu", "cuda", "mps").

    Raises
    ------
    ConfigError
        The accelerator is not there.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    name = "cuda" if accelerator == "gpu" else accelerator
    if not available.get(name, False):
        found = ", ".join(kind for kind, there in available.items() if there)
        raise ConfigError(
            f"accelerator {accelerator!r} is not available here; found {found}; choose one of these or auto"
        )
    return torch.device(name)
