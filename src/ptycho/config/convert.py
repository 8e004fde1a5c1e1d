"""Plain values from a file or a flag to the type of a field, and the type of a field in words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from ptycho.base.errors import ConfigError
from ptycho.config.checks import is_number, is_whole, nearest


@dataclass(frozen=True)
class _Kind:
    """One plain type: its words, which values are of it, and how they become it."""

    words: str
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
    NoneType: _Kind("null", lambda value: value is None, lambda value: None),
    bool: _Kind("true or false", lambda value: isinstance(value, bool), bool),
    int: _Kind("a whole number", is_whole, int),
    float: _Kind("a number", _is_number_or_its_text, float),
    str: _Kind("text", lambda value: isinstance(value, str), str),
    Path: _Kind("a path", lambda value: isinstance(value, str | Path), Path),
    list[int]: _Kind(
        "a list of whole numbers", lambda value: isinstance(value, list) and all(map(is_whole, value)), list
    ),
}


def convert(value: Any, hint: Any, name: str, source: str) -> Any:
    """Return ``value`` as the type ``hint`` of the field ``name``; a number may be text, as YAML reads ``1e-3``.

    Raises
    ------
    ConfigError
        The value is of another type; with the field, the value, the type in words and the nearest valid word.
    """
    for member in _members(hint):
        if get_origin(member) is Literal:
            if value in get_args(member):
                return value
        elif _KINDS[member].holds(value):
            return _KINDS[member].make(value)
    raise ConfigError(wrong_type(value, hint, name, source))


def wrong_type(value: Any, hint: Any, name: str, source: str) -> str:
    """Return the message that ``value`` is not of the type ``hint``."""
    words = [word for member in _members(hint) if get_origin(member) is Literal for word in get_args(member)]
    return f"{name} is {value!r} in {source}; expected {in_words(hint)}; correct it{nearest(value, words)}"


def in_words(hint: Any) -> str:
    """Return a type in words.

    Examples
    --------
    >>> in_words(int | None)
    'a whole number or null'
    """
    return " or ".join(
        ", ".join(get_args(member)) if get_origin(member) is Literal else _KINDS[member].words
        for member in _members(hint)
    )


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, and any other type alone."""
    return (hint,) if hint in _KINDS or get_origin(hint) is Literal else get_args(hint)
