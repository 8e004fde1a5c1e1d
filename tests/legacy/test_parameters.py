"""The dictionary of the older interface: reading, writing, sealing, and the sizes derived from it."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.base.errors import ConfigError
from ptycho.config.model import ModelConfig
from ptycho.config.old_names import update_legacy_dict
from ptycho.config.training import TrainingConfig
from ptycho.legacy import parameters


def test_a_client_changes_the_dictionary_in_place(cfg):
    cfg["gridsize"] = 3
    assert parameters.get("gridsize") == 3
    parameters.set("gridsize", 1)
    assert cfg["gridsize"] == 1


def test_an_absent_key_is_an_error_unless_a_default_is_given():
    with pytest.raises(KeyError, match="intensity_scale"):
        parameters.get("intensity_scale")
    assert parameters.get("intensity_scale", 2.5) == 2.5
    assert parameters.get("intensity_scale", None) is None
    assert parameters.get("gridsize", 7) == parameters.cfg["gridsize"]


@settings(max_examples=25, deadline=None)
@given(st.integers(32, 256), st.integers(1, 4), st.integers(0, 20), st.integers(0, 20))
def test_a_group_fits_on_its_canvas(N, gridsize, offset, jitter):
    parameters.cfg.update(N=N, gridsize=gridsize, offset=offset, max_position_jitter=jitter)
    nominal_corners = [offset * step for step in range(gridsize)]
    assert parameters.get_bigN() == nominal_corners[-1] + N
    assert parameters.get_padded_size() == parameters.get_bigN() + jitter == N + parameters.get_padding_size()
    assert parameters.get("bigN") == parameters.cfg["bigN"] == parameters.params()["bigN"]


def test_a_copy_is_a_copy(cfg):
    copy = parameters.params()
    copy["N"] = 1
    assert cfg["N"] != 1
    assert "bigN" not in cfg
    assert copy.keys() - cfg.keys() == {"bigN"}


@pytest.mark.parametrize(("key", "value"), [("data_source", "nowhere"), ("realspace_mae_weight", 0.5)])
def test_a_value_that_cannot_be_used_is_refused_and_not_stored(cfg, key, value):
    before = dict(cfg)
    for error in (AssertionError, ConfigError):
        with pytest.raises(error, match=f"^{key} is .*; expected .*; set "):
            parameters.set(key, value)
    assert cfg == before
    cfg[key] = value
    with pytest.raises(AssertionError):
        parameters.validate()


def test_missing_defaults_come_back_and_choices_stay(cfg):
    cfg["N"] = 64
    del cfg["offset"]
    parameters.ensure_defaults()
    assert cfg == {**parameters.DEFAULTS, "N": 64}
    assert parameters.validate() is True


def test_a_sealed_dictionary_says_what_changed_and_still_changes(cfg, caplog):
    caplog.set_level(logging.WARNING)
    parameters.seal()
    parameters.set("intensity_scale", 2.0)
    parameters.set("probe", "a probe")
    parameters.set("timestamp", "now")
    assert caplog.records == []
    parameters.set("nepochs", 7)
    assert "post-seal params.cfg write" in caplog.text
    assert "nepochs" in caplog.text
    assert cfg["nepochs"] == 7
    caplog.clear()
    parameters.unseal()
    parameters.set("nepochs", 8)
    assert caplog.records == []


def test_a_configuration_is_read_back_through_the_dictionary(cfg):
    update_legacy_dict(cfg, TrainingConfig(ModelConfig(N=96, probe_mask=True), nepochs=3))
    assert (parameters.get("N"), parameters.get("probe.mask"), parameters.get("nepochs")) == (96, True, 3)
    assert parameters.get("offset") == parameters.DEFAULTS["offset"]
