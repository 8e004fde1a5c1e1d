"""Ranges of single choices: each check refuses with what was found, what is expected and what to do, in one line."""

import difflib
import math
from collections.abc import Iterable
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ptycho.base.errors import ConfigError


def nearest(word: object, choices: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the choice that ``word`` resembles, and nothing where none does.

    Examples
    --------
    >>> nearest("adamm", ["adam", "sgd"])
    " (did you mean 'adam'?)"
    """
    by_small_letters = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(str(word).lower(), by_small_letters, n=1)
    return f" (did you mean {by_small_letters[close[0]]!r}?)" if close else ""


def is_whole(value: Any) -> bool:
    """Return whether ``value`` is a whole number, Python's or NumPy's; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a real number, Python's or NumPy's; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, Real)


def whole(config: Any, *names: str, least: int, most: float = math.inf, optional: bool = False) -> None:
    """Refuse a field that is no whole number from ``least`` to ``most``; None passes where it is ``optional``.

    Raises
    ------
    ConfigError
        With the field and its value.
    """
    for name in names:
        value = getattr(config, name)
        if optional and value is None:
            continue
        if not is_whole(value) or not least <= value <= most:
            range_ = f"{least} or more" if most == math.inf else f"{least} to {most}"
            raise ConfigError(f"{name} is {value!r}; expected a whole number, {range_}; set {name} to {range_}")


def number(
    config: Any,
    *names: str,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    optional: bool = False,
) -> None:
    """Refuse a field that is not a finite number in its range; None passes where it is ``optional``.

    Raises
    ------
    ConfigError
        With the field and its value.
    """
    low = f"{least:g} or more" if math.isfinite(least) else f"above {above:g}" if math.isfinite(above) else ""
    high = f"{most:g} or less" if math.isfinite(most) else f"below {below:g}" if math.isfinite(below) else ""
    range_ = " and ".join(part for part in (low, high) if part) or "any finite value"
    for name in names:
        value = getattr(config, name)
        if optional and value is None:
            continue
        if not (is_number(value) and math.isfinite(value) and least <= value <= most and above < value < below):
            raise ConfigError(f"{name} is {value!r}; expected a number, {range_}; set {name} within this range")


def literals(config: Any) -> None:
    """Refuse a field that is not one of the words of its type.

    Raises
    ------
    ConfigError
        With the field, its value, the valid words and the nearest of them.
    """
    for name, (words, types) in _choices(type(config)).items():
        value = getattr(config, name)
        if value in words or isinstance(value, types):
            continue
        valid = ", ".join(repr(word) for word in words)
        raise ConfigError(
            f"{name} is {value!r}; expected one of {valid}; set {name} to one of them{nearest(value, words)}"
        )


def _choices(config_type: type) -> dict[str, tuple[tuple[str, ...], tuple[type, ...]]]:
    """Return, for every field with a Literal in its type, its words and the other types that it accepts."""
    hints = get_type_hints(config_type)
    found = {}
    for field in fields(config_type):
        hint = hints[field.name]
        members = (hint,) if get_origin(hint) is Literal else get_args(hint)
        words = tuple(word for member in members if get_origin(member) is Literal for word in get_args(member))
        if words:
            found[field.name] = (words, tuple(m for m in members if isinstance(m, type)))
    return found
