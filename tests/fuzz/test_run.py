"""A few hundred hostile inputs for all readers, every day; ``make fuzz`` reads a hundred thousand."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import __main__ as run
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]


def test_hostile_files_are_read_or_refused_in_one_line_and_nothing_else_happens(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "--runs", "250", "--findings", tmp_path / "findings"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    inputs, refused, accepted = next(line for line in done.stdout.splitlines() if line.startswith("all ")).split()[1:4]
    assert int(inputs) == pytest.approx(250, abs=5)
    assert int(refused) > 120
    assert int(accepted) > 10


READERS = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from ptycho.base.errors import DataError
from tests.fuzz import targets, worker

def refuses(text):
    raise DataError(text)

readers = {
    "accepted": lambda path, out: (out / "map").write_text("x"),
    "refused": lambda path, out: refuses("found a newline \\n"),
    "traceback": lambda path, out: {}[path],
    "outside": lambda path, out: Path("elsewhere").write_text("x"),
    "memory": lambda path, out: bytes(bytearray(2**30 + 2**24)[:9]),
}
sandbox = worker.Sandbox(Path(sys.argv[1]))
for name, reader in readers.items():
    targets.TARGETS[name] = targets.Target(lambda: (), lambda rng, raw: raw, reader, 1)
    print(worker.judged(sandbox, name, {"scan.npz": b""}, 0).kind)
"""


def test_a_child_sees_what_a_reader_does_wrong(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", READERS, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["accepted", "refused", "traceback", "outside", "memory"], done.stderr


@pytest.mark.parametrize(("end", "kind"), [("time.sleep(60)", "hang"), ("os.abort()", "crash")])
def test_a_child_that_hangs_or_dies_is_counted_and_the_next_goes_on(end, kind, monkeypatch):
    child = f"""
import json, os, sys, time
for number in range(int(sys.argv[3]), 3):
    print(json.dumps({{"reading": number, "target": "scan"}}), flush=True)
    if number == 1:
        {end}
    done = {{"target": "scan", "index": number, "kind": "refused", "detail": "", "seconds": 0, "peak": 0}}
    print(json.dumps(done), flush=True)
"""
    monkeypatch.setattr(run, "CHILD", (sys.executable, "-c", child))
    monkeypatch.setattr(run, "PATIENCE", 1.0)
    found = [(each["index"], each["kind"]) for each in run.outcomes(0, 3, ["scan"])]
    assert found == [(0, "refused"), (1, kind), (2, "refused")]


def test_an_input_is_the_same_each_time():
    for name in ("scan", "mapped scan", "configuration", "reconstruction"):
        assert run.files_of(name, 5, 7) == run.files_of(name, 5, 7)
    assert run.files_of("scan", 5, 7) != run.files_of("scan", 5, 8)


@pytest.mark.parametrize("name", ["torch archive", "tensorflow archive", "bundle", "reconstruction", "configuration"])
def test_what_inputs_are_made_of_is_good(name, tmp_path):
    for seed in TARGETS[name].seeds():
        for file, content in seed.items():
            (tmp_path / file).write_bytes(content)
        TARGETS[name].read(tmp_path / next(iter(seed)), tmp_path)
