"""A configuration through dictionaries and YAML, and files that can't be used."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.base.errors import ConfigError, OutputError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict, from_yaml, load_yaml_config, to_dict, to_yaml, write_yaml
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from tests.config.strategies import CONFIGS, any_config


@settings(max_examples=50, deadline=None)
@given(CONFIGS)
def test_yaml_and_back_is_the_identity(config):
    assert from_yaml(to_yaml(config), type(config)) == config
    assert from_dict(to_dict(config), type(config)) == config


@settings(max_examples=10, deadline=None)
@given(any_config(TrainingConfig), any_config(PyTorchExecutionConfig))
def test_one_file_holds_the_training_and_the_machine(tmp_path_factory, config, execution):
    path = tmp_path_factory.mktemp("yaml") / "config.yaml"
    write_yaml(path, config, execution)
    mapping = load_yaml_config(path)
    assert from_dict(mapping.pop("execution"), PyTorchExecutionConfig) == execution
    assert from_dict(mapping, TrainingConfig) == config


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(["nepochs", "batch_size", "n_groups"]), st.integers(1, 99)))
def test_what_a_file_leaves_out_is_at_its_default(given_choices):
    assert from_yaml(yaml.safe_dump(given_choices), TrainingConfig) == TrainingConfig(ModelConfig(), **given_choices)


def test_numbers_of_numpy_are_written_as_numbers():
    config = TrainingConfig(ModelConfig(N=np.int64(128)), nphotons=np.float32(2.5))
    assert from_yaml(to_yaml(config), TrainingConfig) == config


def test_a_number_in_scientific_notation_is_a_number():
    assert from_yaml("nphotons: 1e5\nplateau_min_lr: 1e-6", TrainingConfig).nphotons == 1e5


REFUSED = {
    "nepoch: 3": "nepoch (did you mean 'nepochs'?)",
    "nepoch: 3\nbatchsize: 4": "nepoch (did you mean 'nepochs'?), batchsize (did you mean 'batch_size'?)",
    "model: {grid_size: 2}": "model.grid_size (did you mean 'gridsize'?)",
    "nepochs: twenty": "nepochs in the YAML text is 'twenty'",
    "nepochs: 2.5": "expected a whole number",
    "nepochs: true": "nepochs in the YAML text is True",
    "probe_trainable: 1": "expected true or false",
    "model: {N: big}": "model.N in the YAML text is 'big'",
    "model: 3": "model is 3",
    "output_dir: null": "expected a path",
    "train_data_file: 3": "expected a path or null",
    "optimizer: adamm": "did you mean 'adam'?",
    "- 1\n- 2": "is a list",
    "nepochs: [1,": "line 1, column 13",
    "nepochs: 3\n  model: 4": "line 2, column 8",
    "nepochs: 3\n\tx: 4": "line 2, column 1",
    "\0": "not YAML",
    "!!python/object/apply:os.system [echo]": "tag tag:yaml.org,2002:python/object/apply:os.system",
}


@pytest.mark.parametrize(("text", "says"), REFUSED.items())
def test_a_text_that_does_not_fit_is_refused_in_one_line(text, says):
    with pytest.raises(ConfigError) as refusal:
        from_yaml(text, TrainingConfig)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_choice_without_default_is_named():
    with pytest.raises(ConfigError, match="has no test_data_file; InferenceConfig needs it"):
        from_yaml("model_path: bundle", InferenceConfig)


def test_a_refused_file_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("nepoch: 3")
    with pytest.raises(ConfigError, match=r"mine\.yaml has a choice that TrainingConfig does not know"):
        from_yaml(path, TrainingConfig)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00not text"])
def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path, content):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine\.yaml.*expected a YAML file"):
        load_yaml_config(path)


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "config.yaml"
    write_yaml(path, ModelConfig(N=128))
    before = path.read_text()
    with pytest.raises(yaml.YAMLError):
        write_yaml(path, ModelConfig(N=object()))
    with pytest.raises(OutputError):
        write_yaml(path / "below_a_file.yaml", ModelConfig())
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_is_a_file_and_a_text_is_yaml(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("nepochs: 3")
    assert from_yaml(path, TrainingConfig) == from_yaml("nepochs: 3", TrainingConfig)
    assert from_yaml(Path(path), TrainingConfig).nepochs == 3
