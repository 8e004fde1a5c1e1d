"""Reference pages that are made from the code when the manual is built.

A line ``<!-- generated: NAME -->`` in a page is replaced by what the function of that name below returns.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
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
from ptycho.config.pretraining import PretrainingConfig, validate_pretraining
from ptycho.config.reading import Reading
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_inference, validate_model, validate_training

MARK = re.compile(r"<!-- generated: (\w+) -->")


@dataclass(frozen=True)
class Choices:
    """A configuration and how the reference shows it: heading, an example, its check, whether it has older keys."""

    heading: str
    example: Callable[[], Any]
    check: Callable[[Any], None]
    older: bool = True


CHOICES = (
    Choices("Reading a scan", Reading, Reading.__post_init__, older=False),
    Choices("The network and its physics: `model`", ModelConfig, validate_model),
    Choices("Training", lambda: TrainingConfig(ModelConfig()), validate_training),
    Choices("Pre-training", PretrainingConfig, validate_pretraining, older=False),
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
    """Return a section for every configuration, with an entry for every field."""
    return "\n\n".join(f"## {choices.heading}\n\n{entries(choices)}" for choices in CHOICES)


def entries(choices: Choices) -> str:
    """Return the fields of a configuration as a Markdown list of definitions."""
    cls = type(choices.example())
    hints, docs = get_type_hints(cls), field_docs(cls)
    plain = [field for field in fields(cls) if not is_dataclass(hints[field.name])]
    return "\n\n".join(
        f"`{field.name}`\n: {escaped(docs[field.name])}\n\n  {conditions(choices, field, hints[field.name])}"
        for field in plain
    )


def conditions(choices: Choices, field: Field[Any], hint: Any) -> str:
    """Return what a field accepts, its default, and its older key where that is another word."""
    accepted = f"*{escaped(expected(choices, field.name) or in_words(hint))}*"
    default = "no default" if field.default is MISSING else f"default `{typed(field.default)}`"
    older = [f"older key `{KEY_MAPPINGS[field.name]}`"] if choices.older and field.name in KEY_MAPPINGS else []
    return "; ".join([accepted, default, *older])


def escaped(text: str) -> str:
    """Return plain text that Markdown shows as it is."""
    return re.sub(r"([*_$^<>\[\]`])", r"\\\1", text)


def expected(choices: Choices, name: str) -> str:
    """Return what the check of a configuration says that it expects of a field; empty where it accepts all."""
    example = choices.example()
    object.__setattr__(example, name, object())  # a frozen one too
    try:
        choices.check(example)
    except PtychoError as error:
        said = re.search(rf"^{name} is .*?; expected (?:one of )?(.*?); ", str(error))
        optional = "None" in str(get_type_hints(type(example))[name])
        return said[1] + (", or null" if optional else "") if said else ""
    except TypeError:  # no check of its own: a path is made of it first
        return ""
    return ""


PAGES = {"verbs": verbs, "configuration": configuration}
MADE_FROM_CODE = ["reference/commands", "reference/configuration", "reference/python"]


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Replace the marks in a page."""
    source[0] = MARK.sub(lambda mark: PAGES[mark[1]](), source[0])


def outdated(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Return the pages that are read again in every build: the code may have changed although they have not."""
    return MADE_FROM_CODE


def bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep the bars of formulas in docstrings, |P|^2, from being read as markup."""
    lines[:] = [line.replace("|", "\\|") for line in lines]


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("env-get-outdated", outdated)
    app.connect("autodoc-process-docstring", bars)
    return {"parallel_read_safe": True}
