"""Door: trained networks to a bundle and back, as the older interface names it. Opens without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho import params
from ptycho.config import config as ptycho_config

if TYPE_CHECKING:
    from ptycho_torch.persistence.bundle import Bundle
    from ptycho_torch.pinn.pinn import PtychoPINN

__all__ = ["load_torch_bundle", "save_torch_bundle"]


def save_torch_bundle(
    models_dict: Mapping[str, Any],
    base_path: Path | str,
    config: ptycho_config.TrainingConfig,
    intensity_scale: float | None = None,
) -> None:
    """Write ``models_dict["diffraction_to_obj"]`` to the bundle ``<base_path>.zip``, whole or not at all."""
    from ptycho_torch.clients import archive

    archive.save(models_dict, Path(f"{base_path}.zip"), config, intensity_scale)


def load_torch_bundle(
    base_path: Path | str, model_name: str | None = None
) -> "tuple[dict[str, PtychoPINN], dict[str, Any]]":
    """Return the models in the bundle ``<base_path>.zip``, and the older dictionary, which gets their choices too."""
    from ptycho_torch.clients import archive, workflow

    bundle = archive.load(Path(f"{base_path}.zip"), model_name)
    return workflow.models_of(bundle.pinn), restored(bundle)


def restored(bundle: "Bundle") -> dict[str, Any]:
    """Bring the older dictionary to the choices and the scale of a bundle; return a copy."""
    ptycho_config.update_legacy_dict(params.cfg, bundle.config)
    params.cfg["intensity_scale"] = bundle.pinn.intensity_scale
    return dict(params.cfg)
