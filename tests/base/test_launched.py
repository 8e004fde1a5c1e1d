"""Which process of a run this is, as launchers tell it."""

import pytest

from ptycho.base.errors import ConfigError
from ptycho.base.launched import ALONE, Launched, first_host, from_launcher, launched, patience
from ptycho.cli.launching import n_processes

SLURM = {
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_ID": "3",
    "SLURM_STEP_NODELIST": "gpu[007-008]",
}


def test_torchrun_tells_all():
    told = Launched(3, 8, 1, 2, "node7", 29500)
    assert from_launcher(told.variables()) == told
    assert told.variables()["GROUP_RANK"] == "1"
    assert not told.leads


def test_slurm_tells_all():
    found = launched("auto", SLURM)
    assert found == Launched(5, 8, 1, 4, "gpu007", 15000 + 4570)
    assert launched(8, SLURM) == found
    assert from_launcher(SLURM | found.variables()) == found, "torchrun inside a job goes before"


def test_steps_of_a_job_do_not_meet():
    assert launched("auto", SLURM).port != launched("auto", SLURM | {"SLURM_STEP_ID": "4"}).port


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("a1", "a1"), ("a1,b2", "a1"), ("a[01-03,7],b1", "a01"), ("a[3,5]", "a3"), ("rack-2[9]", "rack-29")],
)
def test_the_first_host_of_a_list(nodes, host):
    assert first_host(nodes) == host


def test_a_batch_script_and_the_only_task_of_a_step_were_started_by_nobody():
    batch = {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "7"}
    assert from_launcher(batch) is None
    assert from_launcher(batch | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "0"}) is None


def test_one_device_is_alone_whatever_a_launcher_says():
    assert launched(1, SLURM) == ALONE
    assert launched("auto", {}) == ALONE


def test_the_only_task_of_a_job_may_start_processes_itself(monkeypatch):
    only = SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "0"}
    assert launched("auto", only) == ALONE
    for name, value in only.items():
        monkeypatch.setenv(name, value)
    assert n_processes(2, "cpu") == 2


@pytest.mark.parametrize(
    ("devices", "environment", "words"),
    [
        (4, {}, "devices is 4 and this is one process"),
        (4, SLURM, "devices is 4 and 8 processes were started"),
        ("auto", SLURM | {"SLURM_PROCID": "five"}, "SLURM_PROCID is 'five'; expected a whole number"),
        ("auto", SLURM | {"SLURM_STEP_NUM_TASKS": "5"}, "found 5 tasks on 2 machines; expected as many on each"),
    ],
)
def test_what_does_not_go_together_is_refused(devices, environment, words):
    with pytest.raises(ConfigError, match=words):
        launched(devices, environment)


@pytest.mark.parametrize("said", ["0", "-1", "inf", "nan", "soon", ""])
def test_a_time_that_is_none_is_refused(said):
    with pytest.raises(ConfigError, match=f"PTYCHO_TIMEOUT is '{said}'; expected a positive number of seconds"):
        patience({"PTYCHO_TIMEOUT": said})


def test_three_quarters_of_a_minute_are_waited_unless_something_else_is_said():
    assert patience({}).total_seconds() == 45
    assert patience({"PTYCHO_TIMEOUT": "2.5"}).total_seconds() == 2.5
