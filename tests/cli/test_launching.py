"""Several processes of one verb: one speaks, all end together, and a failure is told once, by its name."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ptycho.base import processors
from ptycho.base.errors import ConfigError
from ptycho.base.interruption import Interruption
from ptycho.base.launched import Launched
from ptycho.cli import launching
from ptycho.cli.launching import launch, n_processes
from ptycho.cli.main import main

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytestmark = pytest.mark.ddp

FLAGS = ["--batch_size", "10", "--model.lean_width", "8", "--execution.accelerator", "cpu"]
TWO = [*FLAGS, "--execution.devices", "2"]
ACCELERATORS = [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("gpu", marks=pytest.mark.gpu)]
PROGRAM = [sys.executable, "-m", "ptycho.cli.main"]


@contextmanager
def started(*argv, **environment):
    """A program in a session of its own; it and what it started are gone at the end of the block."""
    words = [*PROGRAM, *map(str, argv)]
    env = os.environ | environment
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        try:
            yield program
        finally:
            program.kill()


def children_of(program):
    """Rank -> number of the processes that a program has started."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (folder / "environ").read_bytes().split(b"\0") if parent == program.pid else []
            except OSError:
                continue
            ranks = [int(word[5:]) for word in words if word.startswith(b"RANK=")]
            found |= dict.fromkeys(ranks, int(folder.name))
    return found


def wait_for(what, program, seconds=120):
    until = time.monotonic() + seconds
    while not what():
        assert program.poll() is None, program.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)


def gone(number):
    try:
        return (Path("/proc") / str(number) / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def training(scan_file, run, accelerator="cpu"):
    """A long training in two processes that has taken some steps; yields it and its processes."""
    if accelerator == "gpu" and torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    flags = [*TWO, "--execution.accelerator", accelerator, "--nepochs", 4000]
    with started("train", scan_file, "--output_dir", run, "--quiet", *flags) as program:
        wait_for((run / "checkpoints" / "last.ckpt").exists, program)
        yield program, children_of(program)


# Of a run on GPUs the library that joins them says much too, before the last line.
@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_one_that_is_killed_ends_all_and_is_named(scan_file, tmp_path, accelerator):
    with training(scan_file, tmp_path / "run", accelerator) as (program, children):
        assert sorted(children) == [0, 1]
        os.kill(children[1], signal.SIGKILL)
        said = program.stderr.read().splitlines(keepends=True)
        assert program.wait(30) == 2
    assert said[-1] == "ptycho train: error: process 1 of 2: it was ended by SIGKILL without a word of its own\n"
    assert len(said) == 1 or accelerator == "gpu"
    assert all(gone(number) for number in children.values())


@pytest.mark.slow
def test_none_outlives_the_program_that_started_it(scan_file, tmp_path):
    with training(scan_file, tmp_path / "run") as (program, children):
        program.kill()
        until = time.monotonic() + 30
        while not all(gone(number) for number in children.values()):
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_one_that_hangs_is_not_waited_for_for_ever(scan_file, tmp_path, monkeypatch, accelerator):
    monkeypatch.setenv("PTYCHO_TIMEOUT", "10")
    with training(scan_file, tmp_path / "run", accelerator) as (program, children):
        os.kill(children[1], signal.SIGSTOP)
        stopped = time.monotonic()
        said = program.stderr.read().splitlines(keepends=True)
        assert program.wait(60) == 2
        assert time.monotonic() - stopped < 50
    assert said[-1] == "ptycho train: error: process 1 of 2: it said nothing to the others in time\n"
    assert len(said) == 1 or accelerator == "gpu"
    assert all(gone(number) for number in children.values())


@pytest.mark.slow
def test_what_one_refuses_is_told_once(scan_file, tmp_path, capfd):
    """The first process finds the folder taken; the others wait for it in vain."""
    (tmp_path / "wts.h5.zip").write_bytes(b"")
    assert main(["train", str(scan_file), "--output_dir", str(tmp_path), "--quiet", *TWO]) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"ptycho train: error: process 0 of 2: {tmp_path} holds wts.h5.zip already; choose another")
    assert said.count("\n") == 1


def same_object(one, other):
    first, second = (np.load(folder / "reconstruction.npz", allow_pickle=False) for folder in (one, other))
    light = first["coverage"]
    return np.sqrt((light * np.abs(first["object"] - second["object"]) ** 2).sum() / light.sum()) < 1e-5


@pytest.mark.slow
def test_torchrun_starts_them_too(scan_file, trained, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["reconstruct", str(trained), str(scan_file), "--output_dir", str(one), "--quiet"]) == 0
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ptycho.cli.main"]
    verb = ["reconstruct", trained, scan_file, "--output_dir", two, "--devices", "2", "--accelerator", "cpu"]
    done = subprocess.run([sys.executable, *words, *map(str, verb)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"to {two}") == 1, "the first speaks alone"
    assert same_object(one, two)


@pytest.mark.slow
def test_srun_starts_them_too(scan_file, tmp_path):
    """As srun does: the same command for every task, and variables that tell them apart."""

    def srun(*argv):
        of_job = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": str(os.getpid()), "MASTER_ADDR": "127.0.0.1"}
        with (
            started(*argv, **of_job, SLURM_PROCID="0", SLURM_LOCALID="0") as first,
            started(*argv, **of_job, SLURM_PROCID="1", SLURM_LOCALID="1") as second,
        ):
            said = [each.stderr.read() for each in (first, second)]
            assert [each.wait() for each in (first, second)] == [0, 0], said
        assert said[1] == ""

    run, out = tmp_path / "run", tmp_path / "out"
    srun("train", scan_file, "--output_dir", run, *FLAGS, "--nepochs", "1", "--execution.devices", "auto")
    srun("reconstruct", run, scan_file, "--output_dir", out, "--devices", "auto", "--accelerator", "cpu")
    assert main(["reconstruct", str(run), str(scan_file), "--output_dir", str(tmp_path / "one"), "--quiet"]) == 0
    assert same_object(tmp_path / "one", out)
    assert "devices: 2" in (run / "config.yaml").read_text(), "a resumed run needs as many"


def test_choices_are_refused_before_any_process_is_started(refused, scan_file, tmp_path, monkeypatch):
    refused(["train", scan_file, "--output_dir", tmp_path, *TWO, "--batch_size", "0"], "batch_size is 0")
    many = [*FLAGS, "--execution.devices", "100000"]
    refused(["train", scan_file, "--output_dir", tmp_path, *many], "devices is 100000, a process each")
    monkeypatch.setenv("PTYCHO_TIMEOUT", "soon")
    words = "PTYCHO_TIMEOUT is 'soon'", "expected a positive number of seconds"
    refused(["train", scan_file, "--output_dir", tmp_path, *TWO], *words)
    monkeypatch.delenv("PTYCHO_TIMEOUT")
    for name, value in Launched(0, 3, 0, 3).variables().items():
        monkeypatch.setenv(name, value)
    refused(["train", scan_file, "--output_dir", tmp_path, *TWO], "devices is 2 and 3 processes were started")


def test_a_run_goes_on_with_the_devices_that_were_counted_when_it_began(trained, scan_file):
    """As a job that is queued again does it: the same words in the same number of processes."""
    again = ["train", str(scan_file), "--output_dir", str(trained), "--resume", "--quiet"]
    assert main([*again, "--execution.devices", "auto"]) == 0


def test_the_only_task_of_a_job_may_start_others(monkeypatch):
    for name, value in {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launching, "usable_processors", lambda: 4)
    assert n_processes(4, "cpu") == 4
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    assert n_processes(4, "cpu") == 1, "srun did it"


@pytest.fixture
def launched_script(tmp_path, monkeypatch):
    """Launch two processes of a shell script in place of the program."""

    def run(script):
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return launch("train", [], 2)

    return run


def test_the_first_that_ended_is_named(launched_script):
    with pytest.raises(ConfigError, match="process 1 of 2: it was ended by SIGKILL"):
        launched_script("[ $RANK = 1 ] && kill -KILL $$; sleep 0.5; kill -ABRT $$")


def test_one_that_was_aborted_before_others_missed_it_is_named(launched_script):
    told = r"{\"error\": \"LostError\", \"message\": \"another ended\", \"time\": $(date +%s.%N)}"
    with pytest.raises(ConfigError, match="process 1 of 2: it was ended by SIGABRT"):
        launched_script(f'[ $RANK = 1 ] && kill -ABRT $$; sleep 0.5; echo "{told}" > $PTYCHO_REPORT; exit 1')


def test_one_that_was_waited_for_in_vain_is_named(launched_script):
    """As between GPUs: the others are ended by a signal of their own."""
    with pytest.raises(ConfigError, match="process 1 of 2: it said nothing to the others in time"):
        launched_script("[ $RANK = 1 ] && exec sleep 30; kill -ABRT $$")


@pytest.mark.parametrize("looks", [False, True])
def test_who_looks_for_errors_sees_what_every_process_says(launched_script, monkeypatch, capfd, looks):
    monkeypatch.setenv("PTYCHO_DEBUG", "1" if looks else "")
    with pytest.raises(ConfigError, match="ended with status 3"):
        launched_script("echo rank $RANK >&2; exit 3")
    assert sorted(capfd.readouterr().err.splitlines()) == ["rank 0", "rank 1"][: 1 + looks]


def test_processes_get_their_part_of_the_threads(launched_script, monkeypatch, capfd):
    monkeypatch.setattr(processors, "granted_processors", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert launched_script("echo $OMP_NUM_THREADS") == 0
    assert capfd.readouterr().out == "3\n"


def test_who_is_asked_to_stop_starts_no_more(launched_script, monkeypatch):
    start, ranks = launching._Processes.start, []

    def asked_meanwhile(run, command, here, watched):
        ranks.append(here.rank)
        run._pass_on(signal.SIGTERM, None)
        start(run, command, here, watched)

    monkeypatch.setattr(launching._Processes, "start", asked_meanwhile)
    began = time.monotonic()
    with pytest.raises(ConfigError, match="process 0 of 1: it was ended by SIGTERM"):
        launched_script("exec sleep 30")
    assert ranks == [0]
    assert time.monotonic() - began < 20


def test_one_that_was_asked_to_stop_did_not_fail(launched_script):
    told = '{"error": "Interruption", "message": "interrupted; go on", "time": 1}'
    with pytest.raises(Interruption, match="interrupted; go on") as stop:
        launched_script(f"[ $RANK = 0 ] || exit 0; echo '{told}' > $PTYCHO_REPORT; exit 143")
    assert stop.value.number == signal.SIGTERM
