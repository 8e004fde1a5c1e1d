"""Lazy doors (PEP 562): a module whose public names are made when somebody first asks for them."""

import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_attributes(module: str, makers: Mapping[str, Callable[[], Any]]) -> Callable[[str], Any]:
    """Return a module ``__getattr__`` that makes each name once, on first use.

    Parameters
    ----------
    module
        Name of the module that offers the names (``__name__``).
    makers
        Public name -> function without arguments that returns the object.
    """

    def __getattr__(name: str) -> Any:
        if name not in makers:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        made = makers[name]()
        setattr(sys.modules[module], name, made)
        return made

    return __getattr__
