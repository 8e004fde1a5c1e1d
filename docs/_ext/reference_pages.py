"""Reference pages that are made from the code when the manual is built.

A line ``<!-- generated: NAME -->`` in a page is replaced by what the function of that name below returns.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from ptycho.base.errors import PtychoError
from ptycho.cli.main import VERBS, main
from ptycho.config.convert import in_words
from ptycho.config.execution import PyTorchExecutionConfig, check_execution
from ptycho.config.flags import field_docs, typed
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.old_names import KEY_MAPPINGS
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_inference, validate_model, validate_training

MARK = re.compile(r"<!-- generated: (\w+) -->")


@dataclass(frozen=True)
class Choices:
    """A configuration and how the reference shows it: its heading, an example of it, its check, its older names."""

    heading: str
    example: Callable[[], Any]
    check: Callable[[Any], None]
    older: bool = True


CHOICES = (
    Choices("The network and its physics: `model`", ModelConfig, validate_model),
    Choices("Training", lambda: TrainingConfig(ModelConfig()), validate_training),
    Choices("The machine: `execution`", PyTorchExecutionConfig, check_execution, older=False),
    Choices("Reconstruction", lambda: InferenceConfig(ModelConfig(), Path(), Path("scan.npz")), validate_inference),
)


def verbs() -> str:
    """Return a section for every verb with its help, as it prints it."""
    return "\n\n".join(f"## ptycho {verb}\n\n```text\n{help_of(verb)}\n```" for verb in VERBS)


def help_of(verb: str) -> str:
    """Return what ``ptycho VERB --help`` prints."""
    printed = io.StringIO()
    os.environ["COLUMNS"] = "110"
    with contextlib.redirect_stdout(printed):
        main([verb, "--help"])
    return printed.getvalue().strip()


def configuration() -> str:
    """Return a section for every configuration, with a table of its fields."""
    return "\n\n".join(f"## {choices.heading}\n\n{table(choices)}" for choices in CHOICES)


def table(choices: Choices) -> str:
    """Return the fields of a configuration as a Markdown table."""
    cls = type(choices.example())
    hints, docs = get_type_hints(cls), field_docs(cls)
    names = [f for f in fields(cls) if not is_dataclass(hints[f.name])]
    rows = []
    for each in names:
        default = "needed" if each.default is MISSING else f"`{typed(each.default)}`"
        older = [f"`{KEY_MAPPINGS.get(each.name, each.name)}`"] if choices.older else []
        accepted = expected(choices, each.name) or in_words(hints[each.name])
        rows.append([f"`{each.name}`", docs[each.name], accepted, default, *older])
    heads = ["field", "meaning", "accepted", "default", *(["older key"] if choices.older else [])]
    return markdown_table(heads, rows)


def expected(choices: Choices, name: str) -> str:
    """Return what the check of a configuration says that it expects of a field; empty where it accepts all."""
    example = choices.example()
    setattr(example, name, object())
    try:
        choices.check(example)
    except PtychoError as error:
        said = re.search(rf"^{name} is .*?; expected (?:one of )?(.*?); ", str(error))
        optional = "None" in str(get_type_hints(type(example))[name])
        return said[1] + (", or null" if optional else "") if said else ""
    except TypeError:  # no check of its own: a path is made of it first
        return ""
    return ""


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; what would end a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PAGES = {"verbs": verbs, "configuration": configuration}


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Replace the marks in a page."""
    source[0] = MARK.sub(lambda mark: PAGES[mark[1]](), source[0])


def bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep the bars of formulas in docstrings, |P|^2, from being read as markup."""
    lines[:] = [line.replace("|", "\\|") for line in lines]


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", bars)
    return {"parallel_read_safe": True}
