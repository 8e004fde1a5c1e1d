"""Whether PyTorch is there, without opening it."""

from importlib.util import find_spec

from ptycho.base.errors import extra_missing


def torch_available() -> bool:
    """Return whether ``import torch`` would find something."""
    try:
        return find_spec("torch") is not None
    except (ValueError, ImportError):
        # Somebody keeps it out: with None in its place, or with a finder that refuses it.
        return False


def require_torch() -> None:
    """Open a room of the engine, or say what to install.

    Raises
    ------
    BackendNotInstalledError
        PyTorch is not there.
    """
    if not torch_available():
        raise extra_missing("torch", "torch")
