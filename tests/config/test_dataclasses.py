"""The values themselves: what clients do with them after construction."""

import dataclasses
import inspect
import pickle
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings

from ptycho.base.errors import ConfigError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from tests.config.strategies import CLASSES, CONFIGS


@settings(max_examples=25, deadline=None)
@given(CONFIGS)
def test_a_configuration_survives_pickle(config):
    assert pickle.loads(pickle.dumps(config)) == config


def test_the_size_can_be_filled_in_when_the_data_are_known():
    config = TrainingConfig(model=ModelConfig(N=0))
    config.model.N = 128
    assert config.model == ModelConfig(N=128)


@pytest.mark.parametrize("config", [ModelConfig(), TrainingConfig(ModelConfig()), PyTorchExecutionConfig()])
def test_a_misspelt_attribute_is_refused(config):
    with pytest.raises(AttributeError):
        config.nepoch = 3


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_says_what_it_is(cls):
    attributes = inspect.getdoc(cls).split("Attributes\n----------\n")[1].split("\nRaises\n")[0]
    documented = dict(re.findall(r"^(\w+)\n((?:    .+\n?)+)", attributes, flags=re.MULTILINE))
    assert list(documented) == [field.name for field in dataclasses.fields(cls)]


def test_training_draws_512_groups_and_inference_takes_all_unless_told():
    assert TrainingConfig(ModelConfig()).n_groups == 512
    assert InferenceConfig(ModelConfig(), "bundle", "scan").n_groups is None


@pytest.mark.parametrize(
    "build",
    [
        lambda **given: TrainingConfig(ModelConfig(), **given),
        lambda **given: InferenceConfig(ModelConfig(), "bundle", "scan", **given),
    ],
)
def test_the_deprecated_number_of_images_is_the_number_of_groups(build):
    with pytest.warns(DeprecationWarning, match="n_images=7 .* n_groups=7"):
        assert build(n_images=7).n_groups == 7
    with pytest.warns(DeprecationWarning, match="n_groups=3"):
        assert build(n_images=7, n_groups=3).n_groups == 3


def test_the_deprecation_warning_points_at_the_caller():
    # In a process of its own: the check of annotations stands between a caller and the class.
    program = (
        "import warnings\nfrom ptycho.config.config import ModelConfig, TrainingConfig\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    TrainingConfig(ModelConfig(), n_images=7)\n"
        "print(caught[0].category.__name__, caught[0].filename)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DeprecationWarning", "<string>"]


@pytest.mark.parametrize(
    "choice",
    [
        {"accelerator": "tpu"},
        {"devices": 0},
        {"devices": True},
        {"devices": "two"},
        {"precision": "64"},
        {"accum_steps": 0},
        {"num_workers": -1},
        {"learning_rate": 0.0},
        {"learning_rate": None},
        {"checkpoint_save_top_k": -1},
        {"checkpoint_mode": "best"},
        {"early_stop_patience": 0},
        {"ffno_encoder_blocks": 0},
        {"ffno_encoder_gate_init": float("inf")},
        {"ffno_encoder_mlp_ratio": 0.0},
        {"spectral_bottleneck_modes": 0},
        {"spectral_bottleneck_gate_init": float("nan")},
        {"spectral_bottleneck_gate_mode": "none"},
        {"inference_batch_size": 0},
        {"gradient_clip_val": -1.0},
    ],
)
def test_execution_choices_out_of_range_are_refused_at_construction(choice):
    (name,) = choice
    with pytest.raises(ConfigError, match=f"^{name} is .*; expected .*; set {name} ") as refusal:
        PyTorchExecutionConfig(**choice)
    assert "\n" not in str(refusal.value)
