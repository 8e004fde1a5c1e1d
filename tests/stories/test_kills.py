"""Runs that are killed at random moments, as the benchmark does it, a few times."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
def test_killed_runs_leave_readable_files_and_go_on_to_the_same_bits(tmp_path):
    pytest.importorskip("lightning")
    argv = [sys.executable, str(BENCHMARK), "--kills", "10", "--seed", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line[:20].strip(): line[20:].split() for line in done.stdout.splitlines()[2:7]}
    assert {"train", "train --resume", "train --overwrite", "reconstruct", "save"} == rows.keys()
    for kills, unreadable, mixtures, ended, _, _ in rows.values():
        assert int(kills) >= 1
        assert int(unreadable) == int(mixtures) == 0
        assert len(set(ended.split("/"))) == 1
