"""Flags of older scripts: real booleans, whole numbers that work, YAML below flags, and nothing unknown passes."""

import argparse
from dataclasses import fields

import pytest

from ptycho.base.errors import ConfigError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import write_yaml
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.interop.arguments import (
    EXECUTION_FLAGS,
    TRAINING_FLAGS,
    execution_configuration,
    parse_arguments,
    setup_configuration,
)


@pytest.fixture
def yaml_file(tmp_path):
    def write(text):
        (tmp_path / "choices.yaml").write_text(text)
        return tmp_path / "choices.yaml"

    return write


def configured(line="", yaml_path=None):
    return setup_configuration(parse_arguments(line.split()), yaml_path)


def test_without_flags_all_is_at_its_default():
    assert configured() == TrainingConfig(ModelConfig())
    assert execution_configuration(parse_arguments([])) == PyTorchExecutionConfig()


def test_every_field_is_a_flag():
    arguments = vars(parse_arguments([]))
    names = {field.name for cls in (ModelConfig, TrainingConfig) for field in fields(cls)} - {"model"}
    assert names <= set(arguments)
    assert {arguments[name] for name in names} == {None}


@pytest.mark.parametrize("N", [64, 128, 256])
def test_the_side_of_a_pattern_is_a_number(N):
    assert configured(f"--N {N}").model.N == N


@pytest.mark.parametrize(
    ("words", "value"),
    [("", True), ("True", True), ("true", True), ("False", False), ("false", False), (None, None)],
)
def test_booleans_are_booleans(words, value):
    flag = "" if words is None else f"--probe_trainable {words}"
    assert parse_arguments(flag.split()).probe_trainable is value


def test_a_word_that_is_no_boolean_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_arguments(["--probe_mask", "maybe"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_flags_win_over_the_file_and_the_file_over_defaults(yaml_file):
    path = yaml_file("nepochs: 7\nbatch_size: 4\ngridsize: 2\nprobe_trainable: true\n")
    config = configured("--nepochs 9 --probe_trainable False", path)
    assert (config.nepochs, config.batch_size, config.model.gridsize, config.probe_trainable) == (9, 4, 2, False)
    assert configured("", path).probe_trainable is True


@pytest.mark.parametrize(
    "text", ["N: 128\ngridsize: 2\n", "model: {N: 128, gridsize: 2}\n", "model: {N: 128}\ngridsize: 2"]
)
def test_the_model_stands_alone_or_under_its_name_and_flags_win(yaml_file, text):
    path = yaml_file(text)
    assert (configured("", path).model.N, configured("", path).model.gridsize) == (128, 2)
    assert configured("--N 64", path).model.N == 64


def test_a_choice_said_twice_with_two_values_is_refused(yaml_file):
    with pytest.raises(ConfigError, match="says N twice"):
        configured("", yaml_file("N: 64\nmodel: {N: 128}\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nepoch: 3\n", "did you mean 'nepochs'"),
        ("model: {gridsise: 2}\n", "did you mean 'gridsize'"),
        ("nepochs: many\n", "a whole number"),
        ("model: 3\n", "model is 3"),
        ("nepochs: [\n", "is not YAML"),
        ("execution: {acelerator: cpu}\n", "did you mean 'accelerator'"),
        ("execution: 3\n", "execution is 3"),
    ],
)
def test_what_the_file_cannot_say_is_refused(yaml_file, text, words):
    arguments = parse_arguments([])
    path = yaml_file(text)
    with pytest.raises(ConfigError, match=words):
        setup_configuration(arguments, path), execution_configuration(arguments, path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match="can't read"):
        configured("", tmp_path / "none.yaml")


def test_unknown_flags_name_the_nearest(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_arguments(["--nepoch", "3"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "did you mean '--nepochs'" in said
    assert said.count("\n") == 1


@pytest.mark.filterwarnings("ignore:n_images")
@pytest.mark.parametrize("text", ["n_groups: 5\n", "n_images: 5\n", ""])
def test_the_older_name_of_groups_wins_over_the_file_too(yaml_file, text):
    assert configured("--n_images 30", yaml_file(text)).n_groups == 30
    assert configured("--n_groups 30", yaml_file(text)).n_groups == 30


def test_a_run_can_be_repeated_from_the_file_it_wrote(tmp_path):
    config = TrainingConfig(ModelConfig(N=128, probe_mask=True), nepochs=3, n_groups=9)
    write_yaml(tmp_path / "config.yaml", config, PyTorchExecutionConfig(accelerator="cpu"))
    assert configured("", tmp_path / "config.yaml") == config
    assert execution_configuration(parse_arguments([]), tmp_path / "config.yaml").accelerator == "cpu"
    given = parse_arguments(["--torch-accelerator", "auto"])
    assert execution_configuration(given, tmp_path / "config.yaml").accelerator == "auto"


def test_every_flag_of_the_machine_reaches_its_field():
    line = (
        "--torch-accelerator cpu --torch-deterministic False --torch-num-workers 2 --torch-accumulate-grad-batches 3 "
        "--torch-learning-rate 2e-3 --torch-logger none --torch-enable-checkpointing False "
        "--torch-checkpoint-save-top-k 4 --torch-recon-log-every-n-epochs 5 --torch-recon-log-num-patches 6 "
        "--torch-recon-log-fixed-indices 7 8 --torch-recon-log-stitch --torch-recon-log-max-stitch-samples 9"
    )
    expected = dict(
        zip(EXECUTION_FLAGS.values(), ["cpu", False, 2, 3, 2e-3, "none", False, 4, 5, 6, [7, 8], True, 9], strict=True)
    )
    found = execution_configuration(parse_arguments(line.split()))
    assert {name: getattr(found, name) for name in expected} == expected


def test_one_flag_of_the_machine_leaves_the_others_at_their_defaults():
    assert execution_configuration(parse_arguments(["--torch-num-workers", "1"])).learning_rate == 1e-3


def test_every_flag_of_the_schedule_reaches_its_field():
    line = (
        "--torch-scheduler CosineAnnealing --torch-plateau-factor 0.3 --torch-plateau-patience 4 "
        "--torch-plateau-min-lr 1e-6 --torch-plateau-threshold 0.1"
    )
    found = configured(line)
    assert [getattr(found, name) for name in TRAINING_FLAGS.values()] == ["WarmupCosine", 0.3, 4, 1e-6, 0.1]


def test_arguments_that_somebody_built_by_hand_are_read_too(yaml_file):
    arguments = argparse.Namespace(nepochs=4, gridsize=None, train_data_file="a.npz", other="not a choice")
    config = setup_configuration(arguments, str(yaml_file("gridsize: 2\n")))
    assert (config.nepochs, config.model.gridsize, str(config.train_data_file)) == (4, 2, "a.npz")
    assert execution_configuration(arguments) == PyTorchExecutionConfig()


def test_the_log_has_one_volume():
    arguments = parse_arguments(["--console-level", "ERROR"])
    assert (arguments.quiet, arguments.verbose, arguments.console_level) == (False, False, "ERROR")
    with pytest.raises(SystemExit):
        parse_arguments(["--quiet", "--verbose"])
