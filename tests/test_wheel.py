"""The wheel installs into a clean environment and works there, far from the checkout and with all that it carries."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command, cwd=None):
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (file,) = folder.glob("ptychopinn-*.whl")
    return file


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    tracked = run("git", "ls-files", "src", cwd=ROOT).splitlines()
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {name.removeprefix("src/") for name in tracked} <= held
    assert not {name for name in held if name.startswith("tests")}


def test_it_does_its_work_in_a_clean_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    there = tmp_path / "venv" / "bin"
    pip = (there / "python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt")
    run(*pip, f"{wheel}[torch,report]")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def ptycho(*argv):
        return run(there / "ptycho", *argv, cwd=elsewhere)

    version = run(there / "python", "-c", "import ptycho; print(ptycho.__file__)", cwd=elsewhere)
    assert version.startswith(str(tmp_path))
    assert ptycho("--version").startswith("ptychopinn ")
    assert json.loads(ptycho("doctor", "--json"))["trouble"] is None
    ptycho("simulate", "scan.npz", "--N", "32", "--positions", "40", "--quiet")
    assert "nothing to complain about" in ptycho("inspect", "scan.npz", "--picture", "scan.png")
    quick = ("--nepochs", "1", "--model.lean_width", "8", "--quiet")
    assert "ready; start it with:" in ptycho("validate", "scan.npz", "--output_dir", "run", *quick)
    ptycho("train", "scan.npz", "--output_dir", "run", *quick)
    ptycho("reconstruct", "run", "scan.npz", "--output_dir", "out", "--refine", "2", "--quiet")
    assert (elsewhere / "out" / "phase.png").is_file()
