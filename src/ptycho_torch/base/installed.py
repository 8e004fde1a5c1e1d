"""Whether PyTorch is there, without opening it."""

from importlib.util import find_spec


def torch_available() -> bool:
    """Return whether ``import torch`` would find something."""
    try:
        return find_spec("torch") is not None
    except ValueError:
        # Somebody has put None in its place to keep it out.
        return False
