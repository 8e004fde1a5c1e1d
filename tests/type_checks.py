"""How the tests check annotations: beartype, for which an int is also a float, as it is for mypy."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

import jaxtyping
from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


class Unchecked(MetaPathFinder):
    """Finds modules of kernels: what checks types is nothing that the compiler of a GPU can read."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where a module of kernels is; None for others, which somebody else finds."""
        spec = PathFinder.find_spec(name, path, target) if name.startswith("ptycho_torch.") else None
        makes_kernels = spec is not None and spec.origin is not None and "\nimport triton\n" in _text(spec.origin)
        return spec if makes_kernels else None


def _text(file: str) -> str:
    return Path(file).read_text(encoding="utf-8") if file.endswith(".py") else ""


def install() -> None:
    """Check the annotations of all modules that are imported from now on."""
    jaxtyping.install_import_hook(["ptycho", "ptycho_torch"], "tests.type_checks.checked")
    sys.meta_path.insert(0, Unchecked())
