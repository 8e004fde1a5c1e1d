"""Networks by the names of the older interface, to a bundle and back."""

import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptycho.base.errors import ConfigError
from ptycho.base.printable import listed
from ptycho.config.training import TrainingConfig
from ptycho_torch.persistence.bundle import Bundle, read_bundle, write_bundle
from ptycho_torch.persistence.manifest import MODELS
from ptycho_torch.pinn.pinn import PtychoPINN

logger = logging.getLogger(__name__)

JOINED = "diffraction_to_obj"


def save(models: Mapping[str, Any], path: Path, config: TrainingConfig, intensity_scale: float | None) -> None:
    """Write the network called "diffraction_to_obj"; the other name is the same network, and kept by that.

    Parameters
    ----------
    intensity_scale
        What a client takes for the factor from normalised amplitude to sqrt(counts); the network's own is kept.

    Raises
    ------
    ConfigError
        There is no such network.
    OutputError
        The file can't be written.

    Warns
    -----
    UserWarning
        The names are not the two of the older interface.
    """
    pinn = models.get(JOINED)
    if not isinstance(pinn, PtychoPINN):
        raise ConfigError(
            f"found models {listed(models)} with {type(pinn).__name__} as {JOINED!r}; expected a trained PtychoPINN; "
            "give the models that the training returned"
        )
    if set(models) != set(MODELS):
        warnings.warn(
            f"found models {listed(models)}, expected {listed(MODELS)}; only {JOINED} is written", stacklevel=3
        )
    if intensity_scale is not None and not math.isclose(intensity_scale, pinn.intensity_scale, rel_tol=1e-5):
        logger.warning(
            "intensity_scale is %.6g and the network was trained with %.6g; the latter is kept",
            intensity_scale,
            pinn.intensity_scale,
        )
    write_bundle(path, pinn, config)


def load(path: Path, model_name: str | None) -> Bundle:
    """Read a bundle; ``model_name`` is one of the two names of the older interface, or None for both.

    Raises
    ------
    ConfigError
        The name is none of the two.
    BundleError
        The file can't be used.
    """
    if model_name is not None and model_name not in MODELS:
        raise ConfigError(f"model_name is {model_name!r}; expected one of {', '.join(MODELS)}; choose one of them")
    return read_bundle(path)
