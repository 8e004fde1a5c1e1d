"""Shared fixtures; every annotated shape of ``ptycho`` and ``ptycho_torch`` is checked while the tests run."""

import logging
import os
import signal

# Small tensors gain nothing from threads, and threads of two test workers on two cores wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping

from tests import type_checks

type_checks.install()

from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from ptycho.base import logs  # noqa: E402
from tests.browser import chromium  # noqa: E402

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

settings.register_profile("house", max_examples=25, deadline=None)
settings.load_profile("house")

ROOT = Path(__file__).parents[1]


def shared(folder: str) -> Path:
    """Return a folder of shared test files, or skip the test that asked for it.

    ``PTYCHO_TEST_DATA`` names the folder ``data`` or the one that holds it; without it, ``../shared`` is looked at.
    """
    named = os.environ.get("PTYCHO_TEST_DATA")
    roots = [Path(named), Path(named).parent] if named else [ROOT.parent / "shared"]
    for root in roots:
        if (root / folder).is_dir():
            return root / folder
    pytest.skip(f"needs the shared folder {folder!r}, looked for in {' and '.join(map(str, roots))}")


@pytest.fixture(autouse=True)
def loggers_as_imported() -> None:
    """Undo what a verb set up for its messages: a test that listens must hear them whatever ran before."""
    for name in logs.LOGGERS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """Ctrl-C ends a run also where the tests themselves were started to ignore it, as jobs in the background are."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """Switch the shape checks off for a test: torch.compile can't trace through them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Chrome"]:
    """A headless Chromium without a network."""
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Measured scans."""
    return shared("data")


@pytest.fixture(scope="session")
def benchmark_scan() -> dict[str, Path]:
    """Simulated scans with known truth: name -> file."""
    folder = shared("benchmark")
    return {name: folder / f"lines_{name}.npz" for name in ("train", "test_newobj")}


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Any]]:
    """Name of a golden file -> its arrays."""
    folder = shared("golden")

    def load(name: str) -> dict[str, Any]:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    return load


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a CUDA device where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
