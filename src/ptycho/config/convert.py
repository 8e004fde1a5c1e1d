"""Plain values from a file or a flag to the type of a field, and the type of a field in words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml

from ptycho.base.errors import ConfigError
from ptycho.config.checks import is_number, is_whole, nearest
from ptycho.config.plain_yaml import load_plain


@dataclass(frozen=True)
class _Kind:
    """One plain type: in words, as the placeholder of a flag, which values are of it, and how they become it."""

    words: str
    placeholder: str
    holds: Callable[[Any], bool]
    make: Callable[[Any], Any]


def _is_number_or_its_text(value: Any) -> bool:
    if not is_number(value) and not isinstance(value, str):
        return False
    try:
        float(value)
    except (ValueError, OverflowError):
        return False
    return True


_KINDS: dict[Any, _Kind] = {
    NoneType: _Kind("null", "null", lambda value: value is None, lambda value: None),
    bool: _Kind("true or false", "true|false", lambda value: isinstance(value, bool), bool),
    int: _Kind("a whole number", "INT", is_whole, int),
    float: _Kind("a number", "NUMBER", _is_number_or_its_text, float),
    str: _Kind("text", "TEXT", lambda value: isinstance(value, str), str),
    Path: _Kind("a path", "PATH", lambda value: isinstance(value, str | Path), Path),
    tuple[Path, ...]: _Kind(
        "paths with commas between",
        "PATH,...",
        lambda value: isinstance(value, list | tuple | str) and all(isinstance(each, str | Path) for each in value),
        lambda value: tuple(map(Path, value.split(",") if isinstance(value, str) else value)),
    ),
    list[int]: _Kind(
        "a list of whole numbers",
        "[INT,...]",
        lambda value: isinstance(value, list) and all(map(is_whole, value)),
        list,
    ),
}


def convert(value: Any, hint: Any, name: str) -> Any:
    """Return ``value`` as the type ``hint`` of the choice ``name``; a number may be text, as YAML reads ``1e-3``.

    Raises
    ------
    ConfigError
        The value is of another type; with the name, the value, the type in words and the nearest valid word.
    """
    for member in _members(hint):
        if get_origin(member) is Literal:
            if value in get_args(member):
                return value
        elif _KINDS[member].holds(value):
            return _KINDS[member].make(value)
    raise ConfigError(f"{name} is {value!r}; expected {in_words(hint)}; correct it{nearest(value, _words(hint))}")


def convert_text(text: str, hint: Any, name: str) -> Any:
    """Return what somebody typed as the type ``hint``: true, false, null, numbers and lists as YAML has them.

    Raises
    ------
    ConfigError
        As `convert`.
    """
    members = _members(hint)
    if text in _words(hint):
        return text
    if text == "null" and NoneType in members:
        return None
    if str in members or Path in members or tuple[Path, ...] in members:
        return convert(text, hint, name)
    try:
        value = load_plain(text)
    except yaml.YAMLError:
        value = text
    return convert(text if value is None else value, hint, name)


def in_words(hint: Any) -> str:
    """Return a type in words.

    Examples
    --------
    >>> in_words(int | None)
    'a whole number or null'
    """
    return " or ".join(
        " or ".join(get_args(member)) if get_origin(member) is Literal else _KINDS[member].words
        for member in _members(hint)
    )


def placeholder(hint: Any) -> str:
    """Return what stands for a value of a type in a line of help.

    Examples
    --------
    >>> placeholder(int | None)
    'INT|null'
    """
    return "|".join(
        "|".join(get_args(member)) if get_origin(member) is Literal else _KINDS[member].placeholder
        for member in _members(hint)
    )


def _words(hint: Any) -> list[str]:
    return [word for member in _members(hint) if get_origin(member) is Literal for word in get_args(member)]


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, and any other type alone."""
    return (hint,) if hint in _KINDS or get_origin(hint) is Literal else get_args(hint)
