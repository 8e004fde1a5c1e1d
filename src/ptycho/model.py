"""Door: what older clients ask of the model: the dictionary, and the network that was trained or loaded last."""

from typing import Any

from ptycho.legacy.trained import recall
from ptycho.params import params

__all__ = ["params"]

TRAINED = ("autoencoder", "diffraction_to_obj")


def __getattr__(name: str) -> Any:
    if name not in TRAINED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return recall()[0]
