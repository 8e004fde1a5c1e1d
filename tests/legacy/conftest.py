"""The dictionary is global: every test here gets its defaults, and leaves it as it was."""

import pytest

from ptycho.legacy import parameters


@pytest.fixture(autouse=True)
def cfg():
    before = dict(parameters.cfg)
    parameters.cfg.clear()
    parameters.ensure_defaults()
    yield parameters.cfg
    parameters.unseal()
    parameters.cfg.clear()
    parameters.cfg.update(before)
