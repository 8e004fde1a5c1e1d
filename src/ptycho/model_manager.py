"""Door: trained networks saved and loaded as older clients do it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptycho import params
from ptycho.legacy.trained import recall, remember

__all__ = ["ModelManager", "load_models", "load_multiple_models", "save"]

MODELS = ("autoencoder", "diffraction_to_obj")


def save(out_prefix: Path | str) -> None:
    """Write the network that was trained or loaded last to ``out_prefix/wts.h5.zip``, whole or not at all."""
    from ptycho_torch.persistence.bundle import write_bundle

    model, config = recall()
    write_bundle(Path(out_prefix) / f"{params.get('h5_path', 'wts.h5')}.zip", model.pinn, config)


def load_multiple_models(base_path: Path | str, model_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the models in ``base_path.zip``, or in a folder, by name, and restore the older dictionary."""
    path = Path(base_path)
    return load_models(
        path if path.is_dir() or path.suffix == ".zip" else path.with_name(f"{path.name}.zip"), model_names
    )


def load_models(path: Path | str, model_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the models in a bundle or its folder, which is exactly ``path``, as `load_multiple_models` does."""
    from ptycho_torch.clients.predictor import Predictor
    from ptycho_torch.model_manager import restored
    from ptycho_torch.persistence.bundle import read_bundle

    bundle = read_bundle(Path(path))
    restored(bundle)
    model = Predictor(bundle.pinn)
    remember(model, bundle.config)
    return dict.fromkeys(model_names or MODELS, model)


class ModelManager:
    """The same functions under the name that older scripts import."""

    save = staticmethod(save)
    load_multiple_models = staticmethod(load_multiple_models)
