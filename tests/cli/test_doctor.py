"""What the doctor finds on a machine that has everything, and on machines that do not."""

import json
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from ptycho.cli import doctor
from ptycho.cli.main import main


@pytest.fixture
def without(monkeypatch):
    """Hide installed packages from the doctor."""

    def hide(*packages):
        def visible(package):
            if package in packages:
                raise PackageNotFoundError(package)
            return version("numpy")

        monkeypatch.setattr(doctor, "version", visible)

    return hide


@pytest.fixture
def torch_with_a_cpu(monkeypatch):
    monkeypatch.setattr(doctor, "_devices", lambda: ((doctor.Device("CPU", "cpu", ("32-true",)),), None))


@pytest.mark.usefixtures("torch_with_a_cpu")
def test_with_everything_installed_it_can_train(capsys, without):
    without()
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "this machine can train" in said
    assert "pip install" not in said


@pytest.mark.parametrize(
    ("hidden", "extras", "status"),
    [
        (["torch", "lightning"], "[torch]", 1),
        (["lightning"], "[torch]", 1),
        (["matplotlib"], "[report]", 0),
        (["safetensors", "scikit-image"], "[report,torch]", 1),
    ],
)
@pytest.mark.usefixtures("torch_with_a_cpu")
def test_what_is_missing_is_named_with_its_remedy(capsys, without, hidden, extras, status):
    without(*hidden)
    assert main(["doctor"]) == status
    said = capsys.readouterr().out
    assert f"missing: {', '.join(hidden)}; " in said
    assert f'pip install "ptychopinn{extras}"' in said
    assert ("can't train" in said) == (status == 1)


@pytest.mark.usefixtures("torch_with_a_cpu")
def test_a_program_can_read_the_answer(capsys, without):
    without("lightning")
    assert main(["doctor", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["can_train"] is False
    assert answer["missing"] == ["lightning"]
    assert answer["packages"].keys() == doctor.PACKAGES.keys()
    assert answer["packages"]["lightning"] is None
    assert answer["devices"] == [{"name": "CPU", "accelerator": "cpu", "precisions": ["32-true"]}]


def test_a_torch_that_does_not_start_is_reported(capsys, without, monkeypatch):
    without()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["doctor"]) == 1
    assert "torch is installed and does not start" in capsys.readouterr().out


def test_this_machine_is_described_as_torch_sees_it():
    torch = pytest.importorskip("torch")
    found = doctor.examine()
    assert found.packages["torch"] == version("torch")
    assert len([d for d in found.devices if d.accelerator == "cuda"]) == torch.cuda.device_count()
    assert found.devices[-1].accelerator == "cpu"
