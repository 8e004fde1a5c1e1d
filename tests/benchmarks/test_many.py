"""The benchmark of several devices runs on few frames, and leaves nothing where it was started."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lightning")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "many.py"


@pytest.mark.slow
def test_the_script_prints_a_table_and_leaves_no_files(tmp_path):
    words = ["--devices", "1", "--frames", "60", "--size", "32", "--batch", "16", "--epochs", "1", "--iterations", "1"]
    found = subprocess.run([sys.executable, SCRIPT, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "predict patterns/s" in found.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_said():
    words = ["--devices", "1", "--frames", "60", "--size", "32", "--seconds", "0.1"]
    found = subprocess.run([sys.executable, SCRIPT, *words], check=False, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stderr.endswith("1 device(s) took longer than 0.1 s; raise --seconds or ask for less\n")
