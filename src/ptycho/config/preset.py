"""Presets: choices that belong together, each a YAML file in the folder ``presets`` that says why."""

import importlib.resources
from typing import Any, Literal

from ptycho.config.files import load_yaml_config

Preset = Literal["quick", "balanced", "best", "low-dose"]


def read_preset(name: Preset) -> dict[str, Any]:
    """Return the choices of a preset, as its file has them."""
    with importlib.resources.as_file(importlib.resources.files("ptycho.config") / "presets" / f"{name}.yaml") as path:
        return load_yaml_config(path)
