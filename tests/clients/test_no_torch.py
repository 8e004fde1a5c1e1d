"""Every module of the core and every door of the engine opens without torch, and opening is cheap."""

import json
import pkgutil
import subprocess
import sys

import pytest

import ptycho
import ptycho_torch

# Where torch is at home; all else in ptycho_torch is a door.
TORCH_ROOMS = {
    *("processes", "data", "networks", "objectives", "physics"),
    *("pinn", "persistence", "training", "inference", "clients"),
}

WITHOUT = """
import importlib, json, sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "safetensors", "pytorch_lightning", "torchmetrics"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Absent())
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
assert "torch" not in sys.modules
print("all open")
"""


def modules_of(package):
    walked = pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=pytest.fail)
    return [package.__name__, *(module.name for module in walked)]


def run(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_everything_outside_the_torch_rooms_opens_without_torch():
    doors = [
        name for name in modules_of(ptycho_torch) if name.split(".")[1:2] == [] or name.split(".")[1] not in TORCH_ROOMS
    ]
    assert {"ptycho_torch.workflows.components", "ptycho_torch.api.base_api", "ptycho_torch.config_params"} <= set(
        doors
    )
    opened = run(WITHOUT, json.dumps([*modules_of(ptycho), *doors]))
    assert opened.stdout == "all open\n", opened.stderr


def test_every_module_of_a_torch_room_says_what_to_install():
    rooms = [name for name in modules_of(ptycho_torch) if name.split(".")[1:2] and name.split(".")[1] in TORCH_ROOMS]
    assert len(rooms) > 30
    closed = WITHOUT.split("for name in")[0] + (
        "from ptycho.base.errors import BackendNotInstalledError\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except BackendNotInstalledError as error:\n"
        "        assert 'pip install \"ptychopinn[torch]\"' in str(error), name\n"
        "    else:\n"
        "        raise SystemExit(f'{name} opened')\n"
        "print('all say so')\n"
    )
    said = run(closed, json.dumps(rooms))
    assert said.stdout == "all say so\n", said.stderr


def test_a_door_that_needs_torch_says_what_to_install_when_it_is_used():
    use = WITHOUT + "from ptycho_torch.workflows.components import load_inference_bundle_torch as load\nload('.')\n"
    used = run(use, "[]")
    assert 'pip install "ptychopinn[torch]"' in used.stderr.splitlines()[-1], used.stderr


HEAVY = ("torch", "lightning", "scipy", "h5py", "jsonargparse", "matplotlib", "skimage", "yaml")


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("ptycho", ()),
        ("ptycho_torch", ()),
        ("ptycho.params", ("yaml",)),
        ("ptycho.config.config", ("yaml",)),
        ("ptycho.acquisition.acquisition", ()),
        ("ptycho.simulation.simulate", ()),
        ("ptycho.metrics.summary", ()),
        ("ptycho.report.figures", ()),
        ("ptycho.assembly.stitch", ()),
        ("ptycho.grouping.sampling", ()),
        ("ptycho.raw_data", ("yaml",)),
        ("ptycho.metadata", ("yaml",)),
        ("ptycho_torch.memmap_bridge", ("yaml",)),
        ("ptycho_torch.workflows.components", ("yaml",)),
        ("ptycho_torch.config_params", ()),
        ("ptycho_torch.config_bridge", ()),
        ("ptycho_torch.api.base_api", ()),
        ("ptycho_torch.lightning_utils", ()),
        ("ptycho_torch.model", ()),
        ("ptycho_torch.model_manager", ("yaml",)),
    ],
)
def test_opening_a_room_loads_nothing_heavy(module, allowed):
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}} & set({HEAVY!r})))"
    opened = run(code)
    assert opened.returncode == 0, opened.stderr
    assert set(opened.stdout.split()) <= set(allowed)


def test_the_doors_that_reconstruct_load_no_lightning():
    """It takes seconds that a client would wait for before every reconstruction."""
    used = (
        "import sys\n"
        "from ptycho_torch.api.base_api import ConfigManager, InferenceEngine, PtychoDataLoader, PtychoModel\n"
        "from ptycho_torch.model import PtychoPINN_Lightning\n"
        "print('torch' in sys.modules, 'lightning' in sys.modules)\n"
    )
    opened = run(used)
    assert opened.stdout.split() == ["True", "False"], opened.stderr


def test_the_bare_packages_load_no_numpy_either():
    opened = run("import sys, ptycho, ptycho_torch; print('numpy' in sys.modules, len(sys.modules) < 200)")
    assert opened.stdout.split() == ["False", "True"], opened.stderr
