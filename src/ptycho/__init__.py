"""The NumPy core of ptychopinn: what was measured, and what we say of the result.

Importing it is cheap and never imports torch; each room is imported by name, ``ptycho.acquisition`` and so on.
"""

from functools import partial
from typing import Any

from ptycho.base.doors import lazy_attributes

__all__ = ["__version__"]


def _version() -> str:
    from importlib.metadata import version

    return version("ptychopinn")


def _door(name: str) -> Any:
    from importlib import import_module

    return import_module(f"{__name__}.{name}")


# Older clients use these modules as attributes without importing them.
DOORS = ("loader", "model", "model_manager", "params", "probe", "raw_data", "tf_helper")

__getattr__ = lazy_attributes(__name__, {"__version__": _version, **{name: partial(_door, name) for name in DOORS}})
