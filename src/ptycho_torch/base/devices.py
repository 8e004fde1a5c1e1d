"""Which device does the work."""

from typing import TYPE_CHECKING

from ptycho.base.errors import ConfigError
from ptycho.base.launched import Launched

if TYPE_CHECKING:
    import torch


def device_of(here: Launched, accelerator: str) -> "torch.device":
    """Return the device of a process of a run: of several on a machine each has a GPU of its own, or all the CPU.

    Raises
    ------
    ConfigError
        The accelerator is not there, or not for each of the processes.
    """
    import torch

    device = resolve_device(accelerator)
    if here.size == 1 or device.type == "cpu":
        return device
    n_gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if n_gpus < here.local_size:
        raise ConfigError(
            f"found {here.local_size} processes on this machine and CUDA GPUs to choose from: {n_gpus}; expected one "
            "for each; give fewer devices, let every process see all GPUs, or choose accelerator cpu"
        )
    device = torch.device("cuda", here.local_rank)
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


def free_memory(device: "torch.device") -> int:
    """Return the bytes of a GPU that this process can fill: what nobody has, and what PyTorch keeps without using it.

    PyTorch gives nothing back that it may need again, and the driver counts it as taken.
    """
    import torch

    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
