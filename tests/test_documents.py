"""What is published has no gaps in it, and what it says of the interface is so."""

import dataclasses
import functools
import importlib
import re
from pathlib import Path

import pytest

from ptycho.cli.older_scripts import run_inference, run_train
from ptycho.config.config import InferenceConfig, ModelConfig, PyTorchExecutionConfig, TrainingConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_placeholder_is_left_and_every_picture_and_link_is_there(document):
    text = document.read_text(encoding="utf-8")
    assert not re.search(r"\b[A-Z]+_TABLE\b|TODO|FIXME", text)
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [target for target in targets if not (document.parent / target).exists()] == []


INTERFACE = ROOT / "docs" / "reference" / "interface.md"
STATES = {"same", "same with a fix", "replaced", "dropped", "not interface"}
# Choices that the older software did not have.
OURS = ("ModelConfig.lean_width", "TrainingConfig.canvas_size", "TrainingConfig.validation_fraction")
PROGRAMS = {"ptycho_train": run_train, "ptycho_inference": run_inference}


def rows():
    """Yield the names, the state and the note of every row of the interface's tables."""
    for line in INTERFACE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| `") else []
        if cells:
            assert len(cells) in (2, 3), line
            yield re.findall(r"`([^`]+)`", cells[0]), cells[1].removesuffix(" |"), cells[-1]


def found(name):
    """Return the object behind a dotted name: the longest part of it that is a module, and attributes from there."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[length:], module)
    raise ModuleNotFoundError(name)


def spelled_out(names):
    """Return dotted names in full: one that begins with a dot belongs to the name at the beginning of the row."""
    return [f"{names[0]}{name}" if name.startswith(".") else name for name in names]


def test_every_name_of_the_interface_has_a_known_state():
    listed = list(rows())
    assert len(listed) > 70
    assert {state for _, state, _ in listed} == STATES
    assert all(note for _, state, note in listed if state in ("replaced", "dropped"))


def test_what_is_the_same_can_be_imported():
    for names, state, _ in rows():
        if state in ("same", "same with a fix") and names[0] not in PROGRAMS:
            for name in spelled_out(names):
                assert found(name) is not None, name


def test_what_replaces_a_name_is_there():
    for _, state, note in rows():
        if state == "replaced":
            for name in re.findall(r"`((?:ptycho|ptycho_torch)\.[\w.]+)`", note):
                assert found(name) is not None, name


def test_the_programs_have_the_flags_of_the_table(capsys):
    for names, state, _ in rows():
        if names[0] in PROGRAMS and state != "replaced":
            assert PROGRAMS[names[0]](["--help"]) == 0
            offered = re.findall(r"(?<![\w-])--[\w-]+", capsys.readouterr().out)
            assert set(names[1:]) <= set(offered)


def test_every_field_of_a_configuration_is_listed():
    listed = {name for names, _, _ in rows() for name in spelled_out(names)}
    for cls in (ModelConfig, TrainingConfig, InferenceConfig, PyTorchExecutionConfig):
        own = {f"ptycho.config.config.{cls.__name__}.{field.name}" for field in dataclasses.fields(cls)}
        missing = own - listed - {f"ptycho.config.config.{name}" for name in OURS}
        assert not missing
