"""The manual says what the software has: every verb and choice is in it, its messages exist, its examples run."""

import dataclasses
import json
import os
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import ptycho.cli
from ptycho.acquisition.writers import write_npz
from ptycho.cli.main import VERBS
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.pretraining import PretrainingConfig
from ptycho.config.reading import Reading
from ptycho.config.training import TrainingConfig
from ptycho.simulation.simulate import Simulation, simulate
from tests.conftest import ROOT, shared

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import messages  # noqa: E402
import reference_pages  # noqa: E402

EXAMPLES = sorted((ROOT / "examples").glob("0*.py"))
TROUBLESHOOTING = DOCS / "troubleshooting.md"


@pytest.fixture(scope="module")
def commands():
    return reference_pages.verbs()


def test_every_verb_is_in_the_reference(commands):
    written = {
        path.stem
        for path in Path(ptycho.cli.__path__[0]).glob("*.py")
        if re.search(r"^def run\(argv", path.read_text(), re.M)
    }
    assert written == set(VERBS)
    assert re.findall(r"^## ptycho (\S+)$", commands, re.MULTILINE) == list(VERBS)


def test_the_flags_of_a_verb_are_in_the_reference(commands):
    train = commands.split("## ptycho train\n")[1].split("\n## ")[0]
    assert {"--output_dir", "--resume", "--nepochs", "--model.gridsize", "--execution.accelerator"} <= set(
        train.split()
    )


@pytest.mark.parametrize(
    "cls", [Reading, ModelConfig, TrainingConfig, PretrainingConfig, PyTorchExecutionConfig, InferenceConfig]
)
def test_every_choice_is_in_the_reference_once_in_its_section(cls):
    found = [reference_pages.entries(choices) for choices in reference_pages.CHOICES if type(choices.example()) is cls]
    assert len(found) == 1
    assert found[0] in reference_pages.configuration()
    listed = re.findall(r"^`(\w+)`$", found[0], re.MULTILINE)
    assert listed == [field.name for field in dataclasses.fields(cls) if field.name != "model"]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("N", "*a whole number, 32 or more*; default `64`"),
        ("probe_mask_diameter", "*a number, above 0, or null*; default `null`"),
        ("object_big", "*true or false*; default `true`; older key `object.big`"),
        ("energy", "*a number, above 0, or null*; default `null`"),
        ("architecture", "*'lean', 'unrolled', 'cnn'*; default `lean`"),
    ],
)
def test_the_reference_says_what_the_checks_accept(field, said):
    entry = reference_pages.configuration().split(f"\n`{field}`\n")[1].split("\n\n`")[0]
    assert entry.endswith(said)


def test_every_key_of_a_scan_file_is_in_the_reference(tmp_path):
    scan = simulate(Simulation(N=32, n_positions=4, n_dead_pixels=1), np.random.default_rng(0))
    write_npz(tmp_path / "scan.npz", scan)
    assert keys_of(tmp_path / "scan.npz") - listed_keys() == set()


def keys_of(path):
    with np.load(path) as file:
        return set(file.files)


def listed_keys():
    return set(re.findall(r"`(\w+)`", (DOCS / "reference" / "files.md").read_text()))


def test_a_program_beside_the_pages_is_no_page(monkeypatch):
    monkeypatch.setenv("SIEMENS_STAR", "none")
    monkeypatch.syspath_prepend(DOCS)
    excluded = runpy.run_path(str(DOCS / "conf.py"))["exclude_patterns"]
    assert {path.name for path in DOCS.glob("*.py")} <= set(excluded)


def test_every_quoted_message_is_in_the_source():
    known = messages.in_source(ROOT / "src")
    quoted = messages.quoted(TROUBLESHOOTING.read_text())
    assert len(quoted) >= 40
    assert [entry for entry in quoted if not any(entry in message for message in known)] == []


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path, monkeypatch, without_shape_checks):
    if "SIEMENS_STAR" in example.read_text():
        monkeypatch.setenv("SIEMENS_STAR", str(shared("data") / "siemens_star" / "siemens-star-small.npz.bz2"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example))
    unlisted = {
        key
        for path in tmp_path.rglob("*")
        for key in (
            keys_of(path) if path.suffix == ".npz" else json.loads(path.read_text()) if path.suffix == ".json" else ()
        )
        if not key.startswith(("frc_", "history_"))
    } - listed_keys()
    assert unlisted == set()
