"""A file is whole or absent, whatever ends the program that writes it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ptycho.base import atomic
from ptycho.base.errors import OutputError

WRITER = """
import sys
from pathlib import Path
import numpy as np
from ptycho.base.atomic import atomic_path
print("ready", flush=True)
number = 0
while True:
    number += 1
    with atomic_path(Path(sys.argv[1])) as partial, partial.open("wb") as stream:
        np.savez(stream, number=number, many=np.full(20_000, number))
"""


def test_a_program_that_is_killed_leaves_a_whole_file(tmp_path):
    draw = random.Random(0)
    for _ in range(6):
        target = tmp_path / "scan.npz"
        with subprocess.Popen([sys.executable, "-c", WRITER, target], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(0.05 + 0.1 * draw.random())
            child.kill()
        assert child.returncode == -signal.SIGKILL
        with np.load(target) as file:
            assert (file["many"] == file["number"]).all()
    atomic.remove_partials(tmp_path, ["scan.npz"])
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("named"), replace(self, target)))
    atomic.write_text(tmp_path / "facts.json", "{}")
    assert done[0].startswith(".partial-")
    assert done[1:] == ["named", tmp_path.name]


def test_a_block_that_fails_leaves_the_former_file_and_nothing_else(tmp_path):
    target = tmp_path / "facts.json"
    atomic.write_text(target, "former")

    def fail(error):
        with atomic.atomic_path(target) as partial:
            partial.write_text("half")
            raise error

    for error, seen in ((KeyboardInterrupt, KeyboardInterrupt), (OSError, OutputError), (ValueError, ValueError)):
        with pytest.raises(seen):
            fail(error)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["former"]


def test_a_folder_takes_its_place_before_the_former_one_goes(tmp_path, monkeypatch):
    def put(text):
        with atomic.atomic_folder(tmp_path / "a.scan") as partial:
            (partial / "facts").write_text(text)

    def found():
        return [(path.parent.name, path.read_text()) for path in tmp_path.rglob("facts")]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    put("former")
    put("second")
    assert found() == [("a.scan", "second")]
    with monkeypatch.context() as patched:
        patched.setattr(atomic.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            put("third")
    assert ("a.scan", "third") in found()
    replace = Path.replace

    def refuse(self, target):
        if (self / "facts").is_file() and (self / "facts").read_text() == "fourth":
            raise OSError("refused")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError):
        put("fourth")
    assert (tmp_path / "a.scan" / "facts").read_text() == "third"


def test_partial_files_are_removed_by_name(tmp_path):
    (tmp_path / "logs").mkdir()
    kept = [tmp_path / "wts.h5.zip", tmp_path / ".partial-a-other.npz", tmp_path / "logs" / "metrics.csv"]
    removed = [tmp_path / ".partial-a-wts.h5.zip", tmp_path / "logs" / ".partial-b-metrics.csv"]
    removed.append(tmp_path / "logs" / ".partial-c-epoch=3.ckpt")
    for path in (*kept, *removed):
        path.write_text("")
    (tmp_path / ".partial-c-results").mkdir()
    (tmp_path / ".partial-c-results" / "amplitude.png").write_text("")
    atomic.remove_partials(tmp_path, ["wts.h5.zip", "logs/metrics.csv", "logs/epoch=*.ckpt", "results"])
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
