"""Test the NumPy core on the oldest versions that pyproject.toml allows, in an environment of its own.

PyTorch and what stands on it stay out: the oldest PyTorch that is allowed has no wheel in every index.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("io", "report", "test")
# Not what is tested, and what runs the tests.
TOOLS = ("pytest-xdist", "selenium")
ROOMS = ("config", "optics", "acquisition", "grouping", "simulation", "assembly", "metrics", "report")


def oldest() -> list[str]:
    """Return the requirements of the core and of the extras, each at the oldest version that is allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(each for extra in EXTRAS for each in project["optional-dependencies"][extra])]
    return [each.replace(">=", "==") for each in wanted if not each.startswith(TOOLS)]


def main() -> int:
    """Install, test, and return the exit status of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *oldest()], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", ROOT], check=True)
        rooms = [f"tests/{room}" for room in ROOMS]
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu", *rooms]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
