"""Ptychodus as a user starts it from a shell, with settings in a file and a time after which it hangs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HANGS = 600.0  # s, on a machine that is busy with other tests; a run takes seconds

PTYCHODUS = Path(sys.executable).with_name("ptychodus")
SESSION = Path(__file__).with_name("ptychodus_session.py")
SILENT = {"PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}

Settings = dict[str, dict[str, object]]


def write_settings(file: Path, settings: Settings) -> None:
    """Write a settings.ini: section -> key -> value."""
    sections = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for name, keys in settings.items()]
    file.write_text("\n".join(sections))


def started(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a session of its own and return what it said, stdout and stderr in one; fail if it hangs."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | SILENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=HANGS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        pytest.fail(f"still running after {HANGS:.0f} s: {' '.join(map(str, command))}\n{said}")
    return subprocess.CompletedProcess(command, process.returncode, said, None)


def session(folder: Path, key: str, cwd: Path) -> None:
    """Run `ptychodus_session` on a folder."""
    done = started(sys.executable, SESSION, folder, key, cwd=cwd)
    assert done.returncode == 0, done.stdout


def batch(action: str, given: Path, output: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``ptychodus -b train`` or ``ptychodus -b reconstruct``."""
    return started(PTYCHODUS, "-b", action, "-i", given, "-o", output, cwd=cwd)
