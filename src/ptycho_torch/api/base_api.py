"""Door: choices, loader, model, trainer and reconstruction of the older PyTorch library. Opens without torch."""

from typing import TYPE_CHECKING, Any

from ptycho.base.doors import lazy_attributes

if TYPE_CHECKING:
    from ptycho_torch.clients.library.engine import InferenceEngine
    from ptycho_torch.clients.library.loader import DataloaderFormats, PtychoDataLoader
    from ptycho_torch.clients.library.session import ConfigManager, PtychoModel
    from ptycho_torch.clients.library.trainer import Trainer

__all__ = ["ConfigManager", "DataloaderFormats", "InferenceEngine", "PtychoDataLoader", "PtychoModel", "Trainer"]

HOMES = {
    "ConfigManager": "session",
    "PtychoModel": "session",
    "DataloaderFormats": "loader",
    "PtychoDataLoader": "loader",
    "InferenceEngine": "engine",
    "Trainer": "trainer",
}


def _from(name: str) -> Any:
    from importlib import import_module

    return getattr(import_module(f"ptycho_torch.clients.library.{HOMES[name]}"), name)


__getattr__ = lazy_attributes(__name__, {name: lambda name=name: _from(name) for name in __all__})
