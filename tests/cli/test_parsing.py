"""Flags and YAML files become configurations, and every mistake is one line."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given, settings

from ptycho.base.errors import ConfigError
from ptycho.cli.parsing import verb_parser
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import to_dict, write_yaml
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from tests.config.strategies import any_config


def train_parser():
    parser = verb_parser("train", "Train a network on a scan.")
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that has files")
    parser.add_config(TrainingConfig)
    parser.add_config(PyTorchExecutionConfig, "execution")
    return parser


def train(*argv):
    asked = train_parser().read(list(argv))
    return asked.config(TrainingConfig), asked.config(PyTorchExecutionConfig)


def flags(mapping, prefix=""):
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield from flags(value, f"{prefix}{name}.")
        else:
            typed = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            yield f"--{prefix}{name}={typed}"


def is_typed_as_null(value):
    """A word that a flag can't tell from no value; a YAML file can."""
    return isinstance(value, str | Path) and str(value) == "null"


@settings(max_examples=15, deadline=None)
@given(any_config(TrainingConfig), any_config(PyTorchExecutionConfig))
def test_every_field_can_be_set_by_a_flag(config, execution):
    for path in ("train_data_file", "test_data_file", "from_bundle"):
        if is_typed_as_null(getattr(config, path)):
            setattr(config, path, None)
    argv = [*flags(to_dict(config)), *flags({"execution": to_dict(execution)})]
    assert train(*argv, "--n_images=null") == (config, execution)


@settings(max_examples=10, deadline=None)
@given(any_config(TrainingConfig), any_config(PyTorchExecutionConfig))
def test_a_file_is_read_back_as_it_was_written(tmp_path_factory, config, execution):
    path = tmp_path_factory.mktemp("yaml") / "config.yaml"
    write_yaml(path, config, execution)
    assert train("--config", str(path)) == (config, execution)


def test_without_choices_all_is_at_its_default():
    assert train() == (TrainingConfig(ModelConfig()), PyTorchExecutionConfig())


@pytest.mark.parametrize("first", [True, False])
def test_a_flag_wins_over_the_file_wherever_it_stands(tmp_path, first):
    path = tmp_path / "config.yaml"
    path.write_text(
        "nepochs: 3\nbatch_size: 8\nmodel: {N: 128, gridsize: 2}\nexecution: {num_workers: 2, devices: 2}\n"
    )
    typed = ["--nepochs", "5", "--model.gridsize", "1", "--execution.devices", "auto"]
    file = ["--config", str(path)]
    config, execution = train(*(typed + file if first else file + typed))
    assert config == TrainingConfig(ModelConfig(N=128), nepochs=5, batch_size=8)
    assert execution == PyTorchExecutionConfig(num_workers=2, devices="auto")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["--nepoch", "3"], "--nepoch 3 (did you mean '--nepochs'?)"),
        (["--model.gridsiz=3"], "did you mean '--model.gridsize'?"),
        (["--execution.device", "3"], "did you mean '--execution.devices'?"),
        (["--nepochs", "twenty"], "--nepochs is 'twenty'; expected a whole number"),
        (["--nepochs", "2.5"], "expected a whole number"),
        (["--nepochs"], "expected one argument"),
        (["--nphotons", "many"], "expected a number"),
        (["--probe_trainable", "1"], "expected true or false"),
        (["--probe_trainable"], "expected one argument"),
        (["--optimizer", "adamm"], "did you mean 'adam'?"),
        (["--execution.recon_log_fixed_indices", "[1,"], "expected a list of whole numbers or null"),
        (["--overwrit"], "did you mean '--overwrite'?"),
        (["scan.npz"], "unrecognized arguments: scan.npz"),
        (["--quiet", "--verbose"], "not allowed with"),
    ],
)
def test_a_mistake_in_a_flag_is_one_line_and_status_2(capsys, typed, says):
    with pytest.raises(SystemExit) as stop:
        train(*typed)
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ptycho train: error: ")
    assert said.err.count("\n") == 1
    assert says in said.err


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nepoch: 3", "nepoch (did you mean 'nepochs'?)"),
        ("model: {gridsiz: 3}", "model.gridsiz (did you mean 'gridsize'?)"),
        ("execution: {device: 3}", "device (did you mean 'devices'?)"),
        ("exection: {devices: 3}", "exection"),
        ("nepochs: twenty", "is 'twenty'; expected a whole number"),
        ("execution: 3", "is 3"),
        ("model: 3", "is 3"),
        ("- 3", "is a list"),
        ("nepochs: [", "line 1, column"),
        ("execution: {devices: 0}", "devices is 0"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        train("--config", str(path), "--model.N", "128", "--execution.num_workers", "2")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "devices is 0" in says or "mine.yaml" in str(refusal.value)


def test_a_verb_fills_what_it_skips():
    parser = verb_parser("reconstruct", "Reconstruct.")
    parser.add_argument("scan", type=Path)
    parser.add_config(InferenceConfig, skip=("model", "model_path", "test_data_file"))
    asked = parser.read(["scan.npz", "--n_groups", "7"])
    config = asked.config(InferenceConfig, {"model_path": Path("out"), "test_data_file": asked.arguments.scan})
    assert config == InferenceConfig(ModelConfig(), Path("out"), Path("scan.npz"), n_groups=7)
    with pytest.raises(SystemExit):
        parser.read(["scan.npz", "--model.N", "64"])


def help_of_train(capsys):
    with pytest.raises(SystemExit) as stop:
        train("--help")
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_the_help_shows_every_choice_that_is_read_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = help_of_train(capsys)
    assert max(map(len, shown.splitlines())) <= 100
    listed = set(re.findall(r"^  --([\w.]+)", shown, flags=re.MULTILINE))
    accepted = {f"model.{f.name}" for f in dataclasses.fields(ModelConfig)}
    accepted |= {f.name for f in dataclasses.fields(TrainingConfig) if f.name != "model"}
    accepted |= {f"execution.{f.name}" for f in dataclasses.fields(PyTorchExecutionConfig)}
    own = {"quiet", "verbose", "overwrite", "preset", "config"}
    assert own < listed <= accepted | own
    unread = accepted - listed - {"positions_provided"}
    assert all("fno" in name or "spectral" in name for name in unread if not name.startswith(("model.", "execution.")))
    assert {"model.fno_modes", "execution.ffno_encoder_modes", "execution.pad_eval", "execution.scheduler"} <= unread
    assert re.search(r"--nepochs INT +Passes over the scan; at least 1\. \[50\]", shown)
    assert re.search(r"--probe_trainable true\|false .*\[false\]", " ".join(shown.split()))


def test_the_usage_is_short(capsys):
    usage = help_of_train(capsys).split("\n\n")[0]
    flags = "[--quiet | --verbose] [--overwrite] [--preset NAME] [--config FILE]"
    assert " ".join(usage.split()) == f"usage: ptycho train {flags}"


def test_every_type_of_a_field_has_words_and_a_placeholder():
    from ptycho.config.convert import in_words, placeholder

    for cls in (ModelConfig, TrainingConfig, InferenceConfig, PyTorchExecutionConfig):
        for hint in get_type_hints(cls).values():
            if not dataclasses.is_dataclass(hint):
                assert in_words(hint)
                assert " " not in placeholder(hint)


def test_the_parser_opens_without_numpy_and_torch():
    script = "import sys, ptycho.cli.parsing; print(*{'torch', 'numpy', 'ptycho_torch'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == []
