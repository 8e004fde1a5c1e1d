"""The configuration's own checks are what these tests look at, so annotations are not checked before them."""

import pytest


@pytest.fixture(autouse=True)
def _unchecked(without_shape_checks: None) -> None:
    pass
