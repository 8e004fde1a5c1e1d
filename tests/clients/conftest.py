"""Older clients share one dictionary; every test finds it as it was."""

import pytest

from ptycho import params


@pytest.fixture(autouse=True)
def restored():
    before = dict(params.cfg)
    yield
    params.unseal()
    params.cfg.clear()
    params.cfg.update(before)
