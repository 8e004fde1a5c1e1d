"""Configurations as plain dictionaries and as YAML, there and back.

A YAML file has the fields of a configuration by their names, those of the model under ``model:``. The file that a verb
reads or writes may hold the choices of the machine as well, under ``execution:``.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import yaml

from ptycho.base.atomic import write_text
from ptycho.base.errors import ConfigError
from ptycho.config.checks import is_number, is_whole, nearest
from ptycho.config.convert import convert
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.plain_yaml import load_plain
from ptycho.config.pretraining import PretrainingConfig
from ptycho.config.reading import Reading
from ptycho.config.training import TrainingConfig

# Choices about the network that runs did not make before they could: what each was then.
ONCE = {"lean_levels": "even"}
LARGEST = 2**18  # bytes; a file with every choice and a comment on each has a tenth of it
Config = ModelConfig | TrainingConfig | InferenceConfig | PretrainingConfig | PyTorchExecutionConfig | Reading
C = TypeVar("C", bound=Config)


def to_dict(config: Config) -> dict[str, Any]:
    """Return a configuration as a dictionary of plain values: the model nested, paths as text, None kept.

    Examples
    --------
    >>> to_dict(TrainingConfig(ModelConfig(N=128)))["model"]["N"]
    128
    """
    return {name: _plain(value) for name, value in asdict(config).items()}


def from_dict(mapping: Mapping[str, Any], cls: type[C], source: str = "the configuration") -> C:
    """Return the configuration of class ``cls`` that ``mapping`` describes; what it leaves out is at its default.

    Parameters
    ----------
    source
        Where the mapping comes from, for the messages.

    Raises
    ------
    ConfigError
        A key that is no field (with the nearest one that is), a value of another type, or a missing value.
    """
    return cast(C, _build(mapping, cls, "", source))


def kept_choices(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices that a run kept of its training, and beside them what was no choice when it was made.

    Examples
    --------
    >>> kept_choices({"model": {"N": 128}})
    {'model': {'lean_levels': 'even', 'N': 128}}
    """
    model = mapping.get("model", {})
    return {**mapping, "model": ONCE | model if isinstance(model, dict) else model}


def to_yaml(config: Config, execution: PyTorchExecutionConfig | None = None) -> str:
    """Return a configuration as YAML, with the choices of the machine under ``execution:`` where they are given."""
    mapping = to_dict(config)
    if execution is not None:
        mapping["execution"] = to_dict(execution)
    return yaml.safe_dump(mapping, sort_keys=False)


def write_yaml(path: Path, config: Config, execution: PyTorchExecutionConfig | None = None) -> None:
    """Write a configuration to ``path`` as YAML, whole or not at all."""
    write_text(path, to_yaml(config, execution))


def from_yaml(source: str | Path, cls: type[C]) -> C:
    """Return the configuration of class ``cls`` in a YAML text (``str``) or in a YAML file (``Path``).

    Raises
    ------
    ConfigError
        The file can't be read, is not YAML (with line and column), or does not fit ``cls`` (see `from_dict`).
    """
    if isinstance(source, Path):
        return from_dict(load_yaml_config(source), cls, str(source))
    return from_dict(_parse(source, "the YAML text"), cls, "the YAML text")


def load_yaml_config(path: str | Path) -> dict[str, Any]:
    """Return the dictionary in a YAML file, as it stands there.

    Raises
    ------
    ConfigError
        The file can't be read, is too long, is not plain YAML (with line and column), or is not a mapping.
    """
    try:
        text = _content(Path(path)).decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"can't read {path}: {error.strerror or error}; expected a YAML file; correct its path"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text ({error.reason}); expected a YAML file; give a YAML file") from error
    return _parse(text, str(path))


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no regular file; expected a YAML file; give a YAML file")
    with path.open("rb") as stream:
        found = stream.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise ConfigError(f"{path} is longer than {LARGEST} bytes; expected a YAML file of choices; give a YAML file")
    return found


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        mapping = load_plain(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(
            f"{source} is not YAML: {where}{error.problem or error.context}; expected `name: value` lines; correct it"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{source} is not YAML: {' '.join(str(error).split())}; expected `name: value` lines; correct it"
        ) from error
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise ConfigError(
            f"{source} is a {type(mapping).__name__}; expected `name: value` lines; write choices by name"
        )
    return mapping


def _build(mapping: Any, cls: type[Any], prefix: str, source: str) -> Any:
    """Return ``cls`` from a mapping; ``prefix`` is the path of its keys, such as "model."."""
    if not isinstance(mapping, Mapping):
        raise ConfigError(
            f"{prefix.rstrip('.') or cls.__name__} is {mapping!r} in {source}; expected choices by name; "
            "write `name: value` lines"
        )
    hints = get_type_hints(cls)
    unknown = [f"{prefix}{key}{nearest(key, hints)}" for key in mapping if key not in hints]
    if unknown:
        raise ConfigError(
            f"{source} has a choice that {cls.__name__} does not know: {', '.join(unknown)}; "
            "expected the name of a choice; correct it or remove it"
        )
    values: dict[str, Any] = {}
    for field in fields(cls):
        name, hint = field.name, hints[field.name]
        if is_dataclass(hint) and isinstance(hint, type):
            values[name] = _build(mapping.get(name, {}), hint, f"{prefix}{name}.", source)
        elif name in mapping:
            values[name] = convert(mapping[name], hint, f"{prefix}{name} in {source}")
        elif field.default is MISSING:
            raise ConfigError(f"{source} has no {prefix}{name}; {cls.__name__} needs it; add {prefix}{name}")
    return cls(**values)


def _plain(value: Any) -> Any:
    """Return a value as YAML and JSON know it: numbers of NumPy become Python's, paths text."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, Path):
        return str(value)
    if is_whole(value):
        return int(value)
    return float(value) if is_number(value) else value
