"""Presets: every one can be used, and what the user says wins over them."""

import importlib.resources
from dataclasses import fields
from typing import get_args

import pytest
import yaml

from ptycho.cli.main import main
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict, to_dict
from ptycho.config.flags import UNREAD, field_docs
from ptycho.config.model import ModelConfig
from ptycho.config.preset import Preset, read_preset
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training

NAMES = get_args(Preset)


def printed(capsys, *flags):
    """The choices that ``ptycho train --print_config`` prints, as text and read back."""
    assert main(["train", "--print_config", *map(str, flags)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out, yaml.safe_load(said.out)


def test_the_folder_holds_the_presets_that_are_named():
    folder = importlib.resources.files("ptycho.config") / "presets"
    assert sorted(file.name for file in folder.iterdir()) == sorted(f"{name}.yaml" for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_can_be_used_and_leaves_the_size_to_the_scan(name):
    choices = read_preset(name)
    execution = from_dict(choices.pop("execution", {}), PyTorchExecutionConfig)
    assert "N" not in choices["model"]
    validate_training(from_dict(choices, TrainingConfig), execution)


def test_balanced_is_what_happens_where_nothing_is_chosen(capsys):
    assert printed(capsys, "--preset", "balanced")[0] == printed(capsys)[0]


def test_flags_win_over_the_file_and_the_file_over_the_preset(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("nepochs: 7\nmodel: {gridsize: 2}\n")
    preset = printed(capsys, "--preset", "quick")[1]
    mine = printed(capsys, "--preset", "quick", "--config", tmp_path / "mine.yaml")[1]
    flagged = printed(
        capsys,
        "--nepochs",
        9,
        "--config",
        tmp_path / "mine.yaml",
        "--preset",
        "quick",
        "--execution.learning_rate",
        0.1,
    )[1]
    default = printed(capsys)[1]
    assert [found["nepochs"] for found in (default, preset, mine, flagged)] == [50, 20, 7, 9]
    assert [found["model"]["gridsize"] for found in (default, preset, mine, flagged)] == [1, 1, 2, 2]
    assert [found["model"]["lean_width"] for found in (default, preset, mine, flagged)] == [32, 16, 16, 16]
    assert [found["execution"]["learning_rate"] for found in (default, mine, flagged)] == [1e-3, 2e-3, 0.1]


def test_an_unknown_preset_is_refused_with_those_there_are(capsys):
    assert main(["train", "scan.npz", "--output_dir", "run", "--preset", "quik"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)
    assert "did you mean 'quick'?" in said
    assert said.count("\n") == 1


def test_what_is_printed_has_every_choice_that_is_read_and_is_read_back_as_it_was(capsys, tmp_path):
    flags = ["--preset", "low-dose", "--model.N", 96, "--gradient_clip_val", 1e-7, "--execution.devices", "auto"]
    text, found = printed(capsys, *flags)
    (tmp_path / "all.yaml").write_text(text)
    assert printed(capsys, "--config", tmp_path / "all.yaml")[0] == text
    execution = from_dict(found.pop("execution"), PyTorchExecutionConfig)
    config = from_dict(found, TrainingConfig)
    assert (config.model.N, config.gradient_clip_val, execution.devices) == (96, 1e-7, "auto")
    expected = to_dict(TrainingConfig(ModelConfig()))
    filled = {"train_data_file", "test_data_file", "output_dir", "from_bundle", "n_images"}
    read = {name for name, doc in field_docs(TrainingConfig).items() if not doc.endswith(UNREAD)} - filled
    assert set(found) == read
    assert set(expected) >= read
    for field in fields(ModelConfig):
        assert (field.name in found["model"]) == (not field_docs(ModelConfig)[field.name].endswith(UNREAD))
    comments = " ".join(line.strip().removeprefix("# ") for line in text.splitlines() if line.strip().startswith("#"))
    assert all(field_docs(TrainingConfig)[name] in comments for name in read - {"model"})


def test_the_size_stays_open_until_somebody_chooses_it(capsys):
    text, found = printed(capsys)
    assert "N" not in found["model"]
    assert "  # N: 64" in text.splitlines()
