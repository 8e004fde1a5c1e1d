"""The PyTorch engine of ptychopinn; importable without torch, usable with it."""

from typing import Any

from ptycho.base.doors import lazy_attributes

__all__ = [
    "TORCH_AVAILABLE",
    "PtychoDataContainerTorch",
    "RawDataTorch",
    "load_inference_bundle_torch",
    "run_cdi_example_torch",
    "train_cdi_model_torch",
]

HOMES = {
    "RawDataTorch": "ptycho_torch.raw_data_bridge",
    "PtychoDataContainerTorch": "ptycho_torch.data_container_bridge",
}


def _from(name: str) -> Any:
    from importlib import import_module

    return getattr(import_module(HOMES.get(name, "ptycho_torch.workflows.components")), name)


__getattr__ = lazy_attributes(__name__, {name: lambda name=name: _from(name) for name in __all__})
