"""Fields of a configuration as flags: their help, and what somebody typed after them as a value."""

import argparse
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from ptycho.base.errors import ConfigError
from ptycho.config.checks import nearest
from ptycho.config.convert import convert, convert_text

# A choice that says this of itself stays a flag, for older scripts, and stays out of what is shown.
UNREAD = ("read by Fourier networks only.", "not read.")


def reader(flag: str, hint: Any) -> Callable[[Any], Any]:
    """Return the function that reads the text after a flag as a value of type ``hint``."""

    def read(value: Any) -> Any:
        # jsonargparse validates what was read by reading it once more.
        try:
            return convert_text(value, hint, flag) if isinstance(value, str) else convert(value, hint, flag)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def field_docs(cls: type[Any]) -> dict[str, str]:
    """Return what the Attributes section of a class says of every field, each in one line."""
    section = (inspect.getdoc(cls) or "").split("Attributes\n----------\n")[1].split("\n\n")[0]
    blocks = re.findall(r"^(\w+)\n((?:    .+\n?)+)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "") for name, text in blocks}


def typed(default: Any) -> str:
    """Return a default as somebody would type it."""
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "none"
    return f"{default:g}" if isinstance(default, float) else str(default)


def refusal(message: str, flags: Iterable[str]) -> str:
    """Return what a parser has to say against a command line as one line, with the nearest of the known ``flags``."""
    line = " ".join(message.split())
    line = re.sub(r"^argument (\S+): (?=\1 )", "", line)
    line = re.sub(r'^Parser key "([^"]+)": ', r"--\1: ", line)
    unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", line)
    return f"{line}{nearest(unknown[1], flags)}" if unknown else line
