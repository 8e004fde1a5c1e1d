"""`ptycho validate` refuses what `ptycho train` would refuse, in its words, and writes nothing."""

import json
import shlex

import numpy as np
import pytest

from ptycho.cli import validate as validate_module
from ptycho.cli.folders import output_folder
from ptycho.cli.main import main
from tests.cli.conftest import TRAIN, contents

SCHEMA = {"checks", "ready", "training", "command"}
FORECAST = {"device", "patterns_per_second", "minutes", "gibibytes", "available_gibibytes"}


@pytest.fixture
def forecast(monkeypatch):
    """The trial steps cost nothing, and find what is set here."""
    pytest.importorskip("lightning")
    from ptycho_torch.training import estimate

    found = estimate.Estimate("cpu", 100.0, 2.0, 0.5, 16.0)
    monkeypatch.setattr(estimate, "try_steps", lambda _: found)
    return lambda other: monkeypatch.setattr(estimate, "try_steps", lambda _: estimate.Estimate(*other))


def validated(capsys, *argv, status=0):
    assert main(["validate", *map(str, argv), *TRAIN]) == status
    return capsys.readouterr().out


def as_json(capsys, *argv, status=0):
    found = json.loads(validated(capsys, *argv, "--json", status=status))
    assert set(found) >= SCHEMA
    return found


def results(found):
    return {check["name"]: check["result"] for check in found["checks"]}


def test_what_is_ready_trains_by_the_command_that_is_printed(capsys, tmp_path, scan_file, monkeypatch):
    pytest.importorskip("lightning")
    monkeypatch.chdir(tmp_path)
    found = as_json(capsys, scan_file, "--output_dir", "a new run")
    assert found["ready"] is True
    assert set(results(found).values()) == {"ok"}
    assert set(found["training"]) >= FORECAST
    assert found["training"]["minutes"] > 0
    assert contents(tmp_path) == {}
    program, *argv = shlex.split(found["command"])
    assert (program, argv[0]) == ("ptycho", "train")
    assert main(argv) == 0
    assert (tmp_path / "a new run" / "wts.h5.zip").is_file()


def wrong_file(tmp_path, scan_file, scan_arrays):
    np.savez(tmp_path / "lacking.npz", **{key: scan_arrays[key] for key in ("diff3d", "xcoords", "probeGuess")})
    return [tmp_path / "lacking.npz", "--output_dir", tmp_path / "run"]


def occupied(tmp_path, scan_file, scan_arrays):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wts.h5.zip").write_bytes(b"somebody's")
    return [scan_file, "--output_dir", tmp_path / "run"]


WRONG = {
    "folder": occupied,
    "settings": lambda tmp_path, scan, _: [scan, "--output_dir", tmp_path / "run", "--batch_size", "0"],
    "scans": wrong_file,
    "network and device": lambda tmp_path, scan, _: [scan, "--output_dir", tmp_path / "run", "--model.N", "64"],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_training_refuses_is_refused_in_the_same_words(capsys, tmp_path, scan_file, scan_arrays, forecast, name):
    argv = list(map(str, WRONG[name](tmp_path, scan_file, scan_arrays)))
    before = contents(tmp_path)
    found = as_json(capsys, *argv, status=2)
    assert found["ready"] is False
    assert [check for check, result in results(found).items() if result == "refused"] == [name]
    assert main(["train", *argv, *TRAIN]) == 2
    said = next(check["said"] for check in found["checks"] if check["result"] == "refused")
    assert capsys.readouterr().err == f"ptycho train: error: {said}\n"
    assert contents(tmp_path) == before


def test_what_a_killed_run_left_is_not_touched(capsys, tmp_path, scan_file, forecast):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".partial-a-wts.h5.zip").write_bytes(b"half")
    before = contents(tmp_path)
    validated(capsys, scan_file, "--output_dir", tmp_path / "run")
    assert contents(tmp_path) == before


def test_a_folder_that_another_run_holds_is_refused(capsys, tmp_path, scan_file, forecast):
    with output_folder(tmp_path / "run", ["wts.h5.zip"], overwrite=False):
        found = as_json(capsys, scan_file, "--output_dir", tmp_path / "run", status=2)
    assert results(found)["folder"] == "refused"


def test_remarks_on_a_scan_are_warnings_and_do_not_refuse(capsys, tmp_path, scan_arrays, forecast):
    wide = {key: 40 * scan_arrays[key] for key in ("xcoords", "ycoords")}
    np.savez(tmp_path / "wide.npz", **{key: scan_arrays[key] for key in ("diff3d", "probeGuess")}, **wide)
    said = validated(capsys, tmp_path / "wide.npz", "--output_dir", tmp_path / "run")
    assert "warning  found neighbours" in said
    assert "ready; start it with:\nptycho train " in said


def test_memory_that_is_nearly_all_there_is_makes_a_warning(capsys, tmp_path, scan_file, forecast):
    forecast(("cpu", 100.0, 2.0, 15.0, 16.0))
    found = as_json(capsys, scan_file, "--output_dir", tmp_path / "run")
    assert results(found)["memory"] == "warning"
    assert found["ready"] is True


def test_a_full_disk_is_refused(capsys, tmp_path, scan_file, forecast, monkeypatch):
    usage = validate_module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(validate_module.shutil, "disk_usage", lambda _: usage._replace(free=2**10))
    found = as_json(capsys, scan_file, "--output_dir", tmp_path / "run", status=2)
    assert results(found)["disk"] == "refused"


def test_more_devices_than_there_are_gpus_are_refused(capsys, tmp_path, scan_file, forecast, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    argv = ["validate", str(scan_file), "--output_dir", str(tmp_path / "run"), "--execution.devices", "2"]
    assert main(argv) == 2
    assert "CUDA GPUs to choose from: 1; expected one for each" in capsys.readouterr().out
