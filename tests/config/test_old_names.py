"""Every field through the older dictionary."""

import dataclasses
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.old_names import KEY_MAPPINGS, dataclass_to_legacy_dict, update_legacy_dict
from ptycho.config.training import TrainingConfig
from tests.config.strategies import any_config

# The keys that one run of the older interface leaves in its dictionary.
BASELINE = {
    "N",
    "amp_activation",
    "batch_size",
    "debug",
    "gaussian_smoothing_sigma",
    "gridsize",
    "intensity_scale.trainable",
    "mae_weight",
    "model_path",
    "model_type",
    "n_filters_scale",
    "n_groups",
    "n_subsample",
    "neighbor_count",
    "nepochs",
    "nll_weight",
    "nphotons",
    "object.big",
    "output_prefix",
    "pad_object",
    "positions.provided",
    "probe.big",
    "probe.mask",
    "probe.trainable",
    "probe_scale",
    "realspace_mae_weight",
    "realspace_weight",
    "sequential_sampling",
    "subsample_seed",
    "test_data_file_path",
    "train_data_file_path",
}


def older(value):
    return str(value) if isinstance(value, Path) else value


@settings(max_examples=25, deadline=None)
@given(any_config(TrainingConfig) | any_config(InferenceConfig))
def test_every_field_reaches_its_key(config):
    written = dataclass_to_legacy_dict(config)
    for part in (config.model, config):
        for field in dataclasses.fields(part):
            if field.name != "model":
                assert written.pop(KEY_MAPPINGS.get(field.name, field.name)) == older(getattr(part, field.name))
    assert written == {}


@settings(max_examples=25, deadline=None)
@given(any_config(TrainingConfig), st.dictionaries(st.sampled_from(["n_subsample", "N", "probe"]), st.integers()))
def test_only_choices_that_were_made_are_written(config, before):
    cfg = dict(before)
    update_legacy_dict(cfg, config)
    made = {key: value for key, value in dataclass_to_legacy_dict(config).items() if value is not None}
    assert cfg == before | made


def test_a_run_leaves_the_keys_that_clients_read():
    cfg = {}
    model = ModelConfig()
    files = {"train_data_file": Path("train.npz"), "test_data_file": Path("test.npz")}
    update_legacy_dict(cfg, TrainingConfig(model, n_subsample=9, subsample_seed=1, **files))
    update_legacy_dict(cfg, InferenceConfig(model, Path("bundle"), Path("test.npz")))
    assert len(BASELINE) == 31
    assert set(cfg) >= BASELINE
    assert not any(isinstance(value, Path) for value in cfg.values())


def test_no_two_fields_share_a_key():
    for cls in (TrainingConfig, InferenceConfig):
        names = [f.name for part in (cls, ModelConfig) for f in dataclasses.fields(part)]
        assert len({KEY_MAPPINGS.get(name, name) for name in names}) == len(names)
    assert set(KEY_MAPPINGS) <= {f.name for cls in (ModelConfig, TrainingConfig) for f in dataclasses.fields(cls)}


def test_the_configuration_itself_is_not_touched():
    config = TrainingConfig(ModelConfig())
    dataclass_to_legacy_dict(config)["N"] = 1
    assert config == TrainingConfig(ModelConfig())
