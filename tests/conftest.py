"""Shared fixtures; every annotated shape of ``ptycho`` and ``ptycho_torch`` is checked while the tests run."""

from jaxtyping import install_import_hook

install_import_hook(["ptycho", "ptycho_torch"], "beartype.beartype")

import os  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("house", max_examples=25, deadline=None)
settings.load_profile("house")

ROOT = Path(__file__).parents[1]


def shared(folder: str) -> Path:
    """Return a folder of shared test files, or skip the test that asked for it."""
    named = os.environ.get("PTYCHO_TEST_DATA")
    candidates = [Path(named).parent / folder] if named and folder != "data" else []
    candidates += [Path(named)] if named and folder == "data" else []
    candidates += [ROOT.parent / "shared" / folder]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    pytest.skip(f"needs the shared folder {folder!r}: looked at {', '.join(map(str, candidates))}")


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
