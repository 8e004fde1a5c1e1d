"""The dictionary ``cfg`` that older clients change in place, with its defaults and the sizes derived from it."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ptycho.base.errors import ConfigError

logger = logging.getLogger(__name__)

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "N": 128,
        "offset": 4,
        "gridsize": 2,
        "outer_offset_train": None,
        "outer_offset_test": None,
        "batch_size": 16,
        "nepochs": 60,
        "n_filters_scale": 2,
        "output_prefix": "outputs",
        "big_gridsize": 10,
        "max_position_jitter": 10,
        "sim_jitter_scale": 0.0,
        "default_probe_scale": 0.7,
        "mae_weight": 0.0,
        "nll_weight": 1.0,
        "tv_weight": 0.0,
        "realspace_mae_weight": 0.0,
        "realspace_weight": 0.0,
        "nphotons": 1e9,
        "nimgs_train": 9,
        "nimgs_test": 3,
        "data_source": "generic",
        "probe.trainable": False,
        "intensity_scale.trainable": False,
        "positions.provided": False,
        "object.big": True,
        "probe.big": False,
        "probe_scale": 10.0,
        "set_phi": False,
        "probe.mask": True,
        "pad_object": True,
        "model_type": "pinn",
        "label": "",
        "size": 392,
        "amp_activation": "sigmoid",
        "h5_path": "wts.h5",
        "npseed": 42,
        "debug": True,
        "gaussian_smoothing_sigma": 0.0,
        "use_xla_translate": True,
    }
)
DATA_SOURCES = ("lines", "grf", "experimental", "points", "testimg", "diagonals", "xpp", "V", "generic")
WRITTEN_WHILE_RUNNING = frozenset({"intensity_scale", "probe", "timestamp"})

cfg: dict[str, Any] = dict(DEFAULTS)
_absent = object()
_sealed = False


class ParameterError(ConfigError, AssertionError):
    """The dictionary holds a value that can't be used; older clients expect an AssertionError."""


def get(key: str, default: Any = _absent) -> Any:
    """Return a value of the dictionary; "bigN" is computed and stored.

    Raises
    ------
    KeyError
        The key is absent and no default was given.
    """
    if key == "bigN":
        cfg["bigN"] = get_bigN()
    return cfg[key] if default is _absent else cfg.get(key, default)


def set(key: str, value: Any) -> None:
    """Store a value, unless the dictionary could not be used with it; after `seal` say that it changed.

    Raises
    ------
    ParameterError
        The value can't be used; the dictionary is as it was.
    """
    _check({**cfg, key: value})
    if _sealed and key not in WRITTEN_WHILE_RUNNING:
        logger.warning(
            "post-seal params.cfg write: %s was %r and becomes %r after the configuration was sealed; set it before",
            key,
            cfg.get(key),
            value,
        )
    cfg[key] = value


def params() -> dict[str, Any]:
    """Return a copy of the dictionary, with "bigN"."""
    return {**cfg, "bigN": get_bigN()}


def validate() -> bool:
    """Return True when the dictionary can be used.

    Raises
    ------
    ParameterError
        The source of the data is unknown, or a weight is multiplied by zero.
    """
    _check(cfg)
    return True


def ensure_defaults() -> None:
    """Put the default under every key that is missing."""
    for key, value in DEFAULTS.items():
        cfg.setdefault(key, value)


def seal() -> None:
    """From here on, `set` warns when it changes a choice that a running program should not change."""
    global _sealed
    _sealed = True


def unseal() -> None:
    """Allow changes without a warning again."""
    global _sealed
    _sealed = False


def get_bigN() -> int:
    """Return the side of the region that a group covers on its nominal grid, N + (gridsize - 1) offset, px."""
    return int(cfg["N"] + (cfg["gridsize"] - 1) * cfg["offset"])


def get_padding_size() -> int:
    """Return the room around a pattern that a group needs, (gridsize - 1) offset + max_position_jitter, px."""
    return int((cfg["gridsize"] - 1) * cfg["offset"] + cfg["max_position_jitter"])


def get_padded_size() -> int:
    """Return the side of the padded canvas of a group, bigN + max_position_jitter, px."""
    return int(get_bigN() + cfg["max_position_jitter"])


def _check(parameters: Mapping[str, Any]) -> None:
    parameters = {**DEFAULTS, **parameters}
    source = parameters["data_source"]
    if source not in DATA_SOURCES:
        raise ParameterError(
            f"data_source is {source!r}; expected one of {', '.join(DATA_SOURCES)}; set data_source to 'generic'"
        )
    if parameters["realspace_mae_weight"] > 0 and parameters["realspace_weight"] <= 0:
        raise ParameterError(
            f"realspace_mae_weight is {parameters['realspace_mae_weight']} while realspace_weight is "
            f"{parameters['realspace_weight']}; expected both or neither; set realspace_weight above 0 first"
        )
