"""The NumPy core of ptychopinn: what was measured, and what we say of the result.

Importing it is cheap and never imports torch; each room is imported by name, ``ptycho.acquisition`` and so on.
"""

from ptycho.base.doors import lazy_attributes

__all__ = ["__version__"]


def _version() -> str:
    from importlib.metadata import version

    return version("ptychopinn")


__getattr__ = lazy_attributes(__name__, {"__version__": _version})
