"""Which device does the work."""

from typing import TYPE_CHECKING

from ptycho.base.errors import ConfigError

if TYPE_CHECKING:
    import torch


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
