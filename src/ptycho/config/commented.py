"""A configuration as a YAML file that explains itself."""

import inspect
import math
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

import yaml

from ptycho.config.convert import in_words
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import to_dict
from ptycho.config.flags import UNREAD, field_docs, typed
from ptycho.config.pretraining import PretrainingConfig
from ptycho.config.training import TrainingConfig

WIDTH = 110  # characters of a comment
HEAD = (
    "Choices for `ptycho {verb}`, all of them: remove what you don't want to choose. Give this file with --config "
    "FILE; flags win over it."
)
OPEN = "The scan decides; take the # away to refuse a scan of another size."


def commented_yaml(
    config: TrainingConfig | PretrainingConfig,
    execution: PyTorchExecutionConfig,
    *,
    verb: str,
    left_out: Collection[str],
    open_: Collection[str],
) -> str:
    """Return a configuration as YAML: every choice with its meaning, its type and its default above it.

    Read back it gives the same configuration, but for what is left out. Choices that nothing reads are not in it.

    Parameters
    ----------
    verb
        What takes the file.
    left_out
        Choices that the verb makes.
    open_
        Choices that nobody made and that something else decides: they stand there as comments.
    """
    lines = [*_comment(HEAD.format(verb=verb)), "", *_section(config, left_out, open_), "execution:"]
    lines += textwrap.indent("\n".join(_section(execution, left_out, open_)), "  ").split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _section(config: Any, left_out: Collection[str], open_: Collection[str]) -> Iterator[str]:
    cls, values = type(config), to_dict(config)
    hints, docs = get_type_hints(cls), field_docs(cls)
    yield from _comment((inspect.getdoc(cls) or "").split("\n\n")[0])
    yield ""
    for field in fields(cls):
        name, hint = field.name, hints[field.name]
        if name in left_out or docs[name].endswith(UNREAD):
            continue
        if is_dataclass(hint):
            yield f"{name}:"
            yield from textwrap.indent("\n".join(_section(getattr(config, name), left_out, open_)), "  ").split("\n")
            continue
        default = "" if field.default is MISSING else f"; {typed(field.default)} unless chosen"
        yield from _comment(f"{docs[name]} {OPEN}" if name in open_ else docs[name])
        yield from _comment(f"[{in_words(hint)}{default}]")
        # In a list, a value of any type is written on one line and without an end mark.
        value = yaml.safe_dump([values[name]], default_flow_style=True, width=math.inf).strip()[1:-1]
        yield f"# {name}: {value}" if name in open_ else f"{name}: {value}"
        yield ""


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), WIDTH):
        yield f"# {line}"
