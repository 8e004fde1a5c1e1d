"""Programs that try kernels of a GPU: apart from the tests, whose type checks no compiler can read."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

# On the CPU an interpreter runs them, where it is installed.
DEVICES = [
    pytest.param("cpu", marks=pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")),
    pytest.param("cuda", marks=pytest.mark.gpu),
]


def told(script: str, device: str, *words: object) -> None:
    """Run a script that prints "same" when all is as it should be; on the CPU an interpreter runs its kernels."""
    environment = os.environ | ({"TRITON_INTERPRET": "1"} if device == "cpu" else {})
    command = [sys.executable, "-c", script, device, *map(str, words)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.stdout == "same\n", ran.stderr
