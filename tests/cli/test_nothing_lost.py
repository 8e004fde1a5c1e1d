"""What the verbs leave behind when they are interrupted, killed, run out of disk, or meet each other in one folder."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ptycho.base.errors import OutputError
from ptycho.cli.folders import EARLIER, all_together, output_folder
from ptycho.cli.main import main
from ptycho.cli.older_scripts import run_train
from tests.cli.conftest import contents

pytest.importorskip("lightning")

from ptycho_torch.persistence.bundle import read_bundle
from ptycho_torch.training.checkpoints import read_state
from ptycho_torch.training.lightning_module import PtychoModule

CHOICES = ["--nepochs", "3", "--batch_size", "10", "--model.lean_width", "8", "--execution.accelerator", "cpu"]


pytestmark = pytest.mark.usefixtures("ctrl_c_is_heard")


def train(scan, run, *flags):
    return main(["train", str(scan), "--output_dir", str(run), "--quiet", *map(str, flags)])


def results(run):
    """The weights and the curves of a run."""
    weights = {name: tensor.tolist() for name, tensor in read_bundle(run).pinn.state_dict().items()}
    return weights, (run / "logs" / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, scan_file):
    """A run that nobody interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(scan_file, run, *CHOICES) == 0
    return run


@contextmanager
def at_step(step, act):
    """Do something in a training when it takes its ``step``-th step from now, which it has to."""
    original, left = PtychoModule.training_step, [step]

    def training_step(self, batch, index):
        left[0] -= 1
        if left[0] == 0:
            act()
        return original(self, batch, index)

    PtychoModule.training_step = training_step
    try:
        yield
        assert left[0] <= 0, "the step was never taken"
    finally:
        PtychoModule.training_step = original


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "status"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_an_interrupted_training_says_how_to_go_on_and_does(scan_file, whole, tmp_path, capsys, number, status):
    run = tmp_path / "a  run"
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with at_step(6, send(number)):
        assert train(scan_file, run, *CHOICES) == status
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    command = f"ptycho train {scan_file} --output_dir '{run}' --resume"
    assert capsys.readouterr().err == f"ptycho train: interrupted; go on with: {command}\n"
    assert train(scan_file, run, "--resume") == 0
    assert results(run) == results(whole)


@pytest.mark.slow
def test_a_job_that_is_queued_again_is_one_command(scan_file, whole, tmp_path, capsys):
    argv = ["train", str(scan_file), "--output_dir", str(tmp_path), *CHOICES, "--resume"]
    with at_step(6, send(signal.SIGTERM)):
        assert main(argv) == 143
    assert f"nothing to resume in {tmp_path}: a run begins" in capsys.readouterr().err
    assert main(argv) == 0
    assert f"going on from {tmp_path / 'checkpoints' / 'last.ckpt'}" in capsys.readouterr().err
    assert results(tmp_path) == results(whole)


def test_a_program_that_was_told_to_ignore_signals_does(scan_file, whole, tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with at_step(6, send(signal.SIGINT)):
        assert train(scan_file, tmp_path, *CHOICES) == 0
    assert results(tmp_path) == results(whole)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [["num_workers", 2], ["devices", 2, "strategy", "ddp"]])
def test_a_signal_to_every_process_of_a_job(scan_file, tmp_path, machine):
    """What a terminal does at Ctrl-C, and a batch system at the end of its time: every process hears it."""
    flags = [f"--execution.{word}" if isinstance(word, str) and word != "ddp" else str(word) for word in machine]
    argv = [sys.executable, "-m", "ptycho.cli.main", "train", scan_file, "--output_dir", tmp_path / "run", "--quiet"]
    argv += [*CHOICES, "--nepochs", "400", *flags]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        while not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists():
            assert child.poll() is None
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGINT)
        said = child.stderr.read()
    assert child.returncode == 130, said
    assert f"go on with: ptycho train {scan_file} --output_dir {tmp_path / 'run'} --resume" in said
    assert "Traceback" not in said
    state = read_state(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert not state["finished"]


def test_a_run_without_its_choices_is_not_resumed(refused, scan_file, unfinished):
    (unfinished / "config.yaml").unlink()
    argv = ["train", scan_file, "--output_dir", unfinished, "--resume"]
    refused(argv, "can't read", "config.yaml", "expected a YAML file", "correct its path")


def test_a_run_that_kept_nothing_begins_again(scan_file, whole, tmp_path):
    (tmp_path / "config.yaml").write_bytes((whole / "config.yaml").read_bytes())
    assert train(scan_file, tmp_path, "--resume") == 0
    assert results(tmp_path) == results(whole)


def test_a_finished_run_is_left_as_it_is(scan_file, whole, capsys):
    before = contents(whole)
    assert main(["train", str(scan_file), "--output_dir", str(whole), "--resume"]) == 0
    assert capsys.readouterr().err == f"the run in {whole} is finished: nothing is left to do\n"
    assert contents(whole) == before


@pytest.fixture
def unfinished(whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "wts.h5.zip").unlink()
    return run


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--nepochs", "4"], ["nepochs is 4 but 3 in", "leave them out beside --resume"]),
        (
            ["--model.gridsize", "2", "--execution.learning_rate", "0.1"],
            ["model.gridsize is 2 but 1", "rate is 0.1 but"],
        ),
        (["--overwrite"], ["--resume goes on with the run that --overwrite replaces", "leave one out"]),
    ],
)
def test_a_resumed_run_has_the_choices_that_it_began_with(refused, scan_file, unfinished, flags, words):
    refused(["train", scan_file, "--output_dir", unfinished, "--resume", *flags], *words)


@pytest.mark.slow
def test_the_machine_of_a_resumed_run_may_be_another(scan_file, unfinished, whole):
    assert train(scan_file, unfinished, "--resume", "--execution.num_workers", 1, "--nepochs", 3) == 0
    assert results(unfinished) == results(whole)


def test_a_scan_that_changed_is_refused(refused, scan_arrays, unfinished, tmp_path):
    changed = dict(scan_arrays)
    changed["xcoords"] = changed["xcoords"] + np.linspace(0, 1e-3, len(changed["xcoords"]))
    np.savez(tmp_path / "changed.npz", **changed)
    argv = ["train", tmp_path / "changed.npz", "--output_dir", unfinished, "--resume"]
    refused(argv, "the training scan is not the one that", "expected the same patterns", "give that scan")


def test_a_run_is_not_begun_over_an_unfinished_one(refused, scan_file, unfinished):
    refused(
        ["train", scan_file, "--output_dir", unfinished],
        "holds training.json, config.yaml, logs/metrics.csv, checkpoints/",
        "--overwrite",
    )


def test_an_earlier_result_waits_until_the_one_that_replaces_it_is_whole(scan_file, whole, tmp_path, capsys):
    run, other = tmp_path / "run", [*CHOICES, "--subsample_seed", "7", "--overwrite"]
    shutil.copytree(whole, run)
    with at_step(2, send(signal.SIGTERM)):
        assert train(scan_file, run, *other) == 143
    assert contents(run / EARLIER) == contents(whole)
    assert results(run / EARLIER) == results(whole)
    argv = ["reconstruct", str(run), str(scan_file), "--output_dir", str(tmp_path / "out"), "--accelerator", "cpu"]
    assert main(argv) == 0
    assert f"the newest below it, {run / EARLIER / 'wts.h5.zip'}, is taken" in capsys.readouterr().err
    # Replaced once more before it has a result: what waits is still the earlier result.
    with at_step(2, send(signal.SIGTERM)):
        assert train(scan_file, run, *other) == 143
    assert results(run / EARLIER) == results(whole)
    assert train(scan_file, run, "--resume") == 0
    assert not (run / EARLIER).exists()
    assert results(run) != results(whole)


@pytest.mark.slow
def test_older_scripts_replace_and_say_so(scan_file, whole, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    argv = ["--train_data_file", scan_file, "--output_dir", run, "--nepochs", 1, "--torch-accelerator", "cpu"]
    assert run_train([*map(str, argv)]) == 0
    assert f"the earlier result in {run} waits in {run / EARLIER} until this one is whole" in capsys.readouterr().err
    assert results(run) != results(whole)


def test_links_in_a_folder_lead_no_file_out_of_it(tmp_path):
    """Neither an earlier result that waits, nor the removal of what a killed run left."""
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    run.mkdir()
    (elsewhere / "kept").write_text("gold")
    (run / "logs").symlink_to(elsewhere)
    with all_together(run, ["first", "logs"]) as staged:
        (staged / "first").write_text("1")
    assert contents(elsewhere) == {"kept": b"gold"}
    assert not (run / "logs").is_symlink()
    (run / EARLIER).symlink_to(elsewhere)
    with (
        pytest.raises(OutputError, match=f"{EARLIER} is a link; expected a folder"),
        all_together(run, ["first"]) as staged,
    ):
        (staged / "first").write_text("2")
    assert (run / "first").read_text() == "1"
    assert contents(elsewhere) == {"kept": b"gold"}


def test_two_runs_do_not_meet_in_one_folder(refused, scan_file, trained, tmp_path):
    (tmp_path / "run").mkdir()
    words = ["another run is writing to", "expected a folder of its own", "choose another folder"]
    with output_folder(tmp_path / "run", ["wts.h5.zip"], overwrite=False):
        refused(["train", scan_file, "--output_dir", tmp_path / "run"], *words)
        refused(["reconstruct", trained, scan_file, "--output_dir", tmp_path / "run"], *words)
    assert train(scan_file, tmp_path / "run", *CHOICES) == 0


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_an_interrupted_reconstruction_leaves_the_earlier_one(
    scan_file, trained, reconstructed, tmp_path, monkeypatch, capsys, number
):
    out = tmp_path / "out"
    shutil.copytree(reconstructed, out)
    monkeypatch.setattr("ptycho.cli.reconstruct.save_phase", lambda *_: send(number)())
    argv = ["reconstruct", str(trained), str(scan_file), "--output_dir", str(out), "--overwrite", "--quiet"]
    assert main([*argv, "--accelerator", "cpu"]) == 128 + number
    *before, said = capsys.readouterr().err.splitlines()
    assert said == "ptycho reconstruct: interrupted; no result was written"
    assert all(line.startswith("warning: the network does not know") for line in before), before
    assert contents(out) == contents(reconstructed)


class Cut(BaseException):
    """The program ends here."""


@pytest.mark.parametrize("moves", range(8))
def test_no_mixture_is_seen_while_results_are_exchanged(tmp_path, monkeypatch, moves):
    names = ["first", "second", "folder/th*d"]

    def write(folder, text):
        (folder / "folder").mkdir()
        for name in ("first", "second", "folder/third"):
            (folder / name).write_text(text)

    def exchange():
        with output_folder(tmp_path, names, overwrite=True), all_together(tmp_path, names) as staged:
            write(staged, "new")

    def seen(place=tmp_path):
        return {path.read_text() for name in names for path in place.glob(name)}

    def whole(place):
        return len(seen(place)) == 1 and all((place / name).exists() for name in ("first", "second", "folder/third"))

    write(tmp_path, "old")
    (tmp_path / "folder" / "of somebody else").write_text("precious")
    replace, left = Path.replace, [moves]

    def cut(self, target):
        if left[0] == 0:
            raise Cut
        left[0] -= 1
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        try:
            exchange()
        except Cut:
            assert len(seen()) <= 1
            # Where the first product is, the others are: the result that waits, and the one that has arrived.
            if (tmp_path / EARLIER / "first").exists():
                assert whole(tmp_path / EARLIER)
            if (tmp_path / "first").exists() and seen() == {"new"}:
                assert whole(tmp_path)
            old = [
                path.read_text()
                for place in (tmp_path, tmp_path / EARLIER)
                for path in place.rglob("*")
                if path.is_file()
            ]
            assert old.count("old") >= 3
    exchange()
    assert seen() == {"new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "folder", "second"]
    assert (tmp_path / "folder" / "of somebody else").read_text() == "precious"


@contextmanager
def files_no_larger_than(n_bytes):
    """The disk holds no more: writing ends with an error of the system."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_it(scan_file, whole, tmp_path, capsys):
    limit = files_no_larger_than(4000)
    with at_step(6, limit.__enter__):
        assert train(scan_file, tmp_path, *CHOICES) == 2
    limit.__exit__(None, None, None)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for word in (".ckpt", os.strerror(errno.EFBIG), "free some space", f"then go on with: ptycho train {scan_file}"):
        assert word in said
    assert not list(tmp_path.rglob(".partial-*"))
    assert train(scan_file, tmp_path, "--resume") == 0
    assert results(tmp_path) == results(whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_leaves_the_last_good_state(scan_file, whole, tmp_path, small_disk, capsys):
    run, ballast = small_disk / "run", small_disk / "ballast"

    def fill():
        with ballast.open("wb", buffering=0) as stream:
            while shutil.disk_usage(small_disk).free:
                stream.write(bytes(1024))

    with at_step(6, fill):
        assert train(scan_file, run, *CHOICES) == 2
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
    ballast.unlink()
    shutil.copytree(run, tmp_path / "moved")
    assert train(scan_file, tmp_path / "moved", "--resume") == 0
    assert results(tmp_path / "moved") == results(whole)


def test_what_a_killed_run_left_half_written_is_removed_by_the_next(scan_file, whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "wts.h5.zip").unlink()
    for name in (".partial-a-wts.h5.zip", "checkpoints/.partial-b-last.ckpt", "logs/.partial-c-metrics.csv"):
        (run / name).write_bytes(b"half")
    assert train(scan_file, run, "--resume") == 0
    assert contents(run).keys() == contents(whole).keys()
