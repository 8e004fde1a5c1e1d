"""Threads are those that a container or a job was granted."""

import os

import pytest

from ptycho.base import processors
from ptycho.base.processors import (
    FEW,
    LOOKS,
    THREADS,
    WAITING,
    granted_processors,
    shared_threads,
    take_granted_threads,
)


def groups_of(folder, ours, **files):
    """Write what Linux says of control groups; keys are paths with __ for /."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_max", ".max").replace("cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "ours").write_text(ours)
    return folder, folder / "ours"


@pytest.mark.parametrize(
    ("ours", "files", "expected"),
    [
        ("0::/\n", {"cpu_max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu_max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu_max": "max 100000\n"}, None),
        ("0::/job/step\n", {"job__cpu_max": "400000 100000\n", "job__step__cpu_max": "max 100000\n"}, 4),
        ("0::/out/side\n", {"cpu_max": "300000 100000\n"}, 3),
        ("3:cpu,cpuacct:/\n2:memory:/x\n", {"cpu__cfs_quota_us": "600000\n", "cpu__cfs_period_us": "100000\n"}, 6),
        ("3:cpu,cpuacct:/\n", {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}, None),
    ],
)
def test_the_least_limit_of_a_group_and_those_that_hold_it(tmp_path, ours, files, expected):
    assert granted_processors(*groups_of(tmp_path, ours, **files)) == expected


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert granted_processors(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(
    ("granted", "chosen", "expected"), [(2, None, "2"), (2, "7", "7"), (None, None, None), (64, None, None)]
)
def test_threads_are_those_granted_unless_somebody_chose(monkeypatch, granted, chosen, expected):
    monkeypatch.setattr(processors, "granted_processors", lambda: granted)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setenv(THREADS, chosen or "")
    if not chosen:
        monkeypatch.delenv(THREADS)
    take_granted_threads()
    assert os.environ.get(THREADS) == expected


@pytest.mark.parametrize(
    ("chosen", "expected"), [({}, FEW), ({LOOKS: "infinite"}, "infinite"), ({WAITING: "active"}, None)]
)
def test_threads_that_wait_sleep_soon_unless_somebody_chose(monkeypatch, chosen, expected):
    for name in (LOOKS, WAITING):
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    take_granted_threads()
    found = os.environ.pop(LOOKS, None)
    assert found == expected


@pytest.mark.parametrize(
    ("granted", "set_", "n", "expected"),
    [(6, "6", 2, "3"), (6, None, 4, "1"), (2, "2", 8, "1"), (6, "5", 2, None), (None, "5", 2, None)],
)
def test_processes_share_the_threads_unless_somebody_chose(monkeypatch, granted, set_, n, expected):
    monkeypatch.setattr(processors, "granted_processors", lambda: granted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setenv(THREADS, set_ or "")
    if set_ is None:
        monkeypatch.delenv(THREADS)
    assert shared_threads(n).get(THREADS) == expected
