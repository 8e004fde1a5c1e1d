import csv
import json
import os
import re
import signal

import lightning
import numpy as np
import pytest
import torch

from ptycho.acquisition.writers import write_npz
from ptycho.base.errors import ConfigError
from ptycho.base.watching import Watcher
from ptycho.cli.main import main
from ptycho.cli.starting import TUNING_RATE, training_choices, training_parser
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.pretraining import PretrainingConfig
from ptycho.config.training import TrainingConfig
from ptycho.live import terminal
from ptycho_torch.persistence.bundle import read_bundle, write_bundle
from ptycho_torch.training.fit import fit
from ptycho_torch.training.pretrain import _Onwards, pretrain
from tests.laws.scans import small_scan

SMALL = {"N": 32, "lean_width": 8, "architecture": "lean", "n_regions": 2, "n_members": 4, "n_workers": 0}
FLAGS = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle that twenty steps made."""
    folder = tmp_path_factory.mktemp("pretrained")
    assert (
        main(["pretrain", "--output_dir", str(folder), "--steps", "20", "--check_every", "10", "--quiet", *FLAGS]) == 0
    )
    return folder


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory):
    """A scan that nobody has seen."""
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    write_npz(path, small_scan())
    return path


def test_a_run_writes_a_bundle_its_choices_and_curves_and_no_data(bundle):
    written = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert written == {"wts.h5.zip", "pretraining.json", "config.yaml", "logs/metrics.csv"}
    rows = list(csv.DictReader((bundle / "logs" / "metrics.csv").open()))
    assert [row["step"] for row in rows] == ["9", "19"]
    assert np.isfinite([float(row["val_loss"]) for row in rows]).all()
    assert read_bundle(bundle).config.model.N == 32


def test_the_bundle_reconstructs_and_the_result_says_how_it_was_pre_trained(bundle, scan_file, tmp_path):
    assert main(["reconstruct", str(bundle), str(scan_file), "--output_dir", str(tmp_path / "out"), "--quiet"]) == 0
    facts = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert facts["commands"]["pretrain"].startswith(f"ptycho pretrain --output_dir {bundle}")
    assert list(facts["settings"]) == ["model"], "no epochs and batches that never were"
    assert "Error of the object in simulated experiments" in (tmp_path / "out" / "report.html").read_text()


def test_a_folder_holds_the_record_of_one_run(bundle, scan_file, tmp_path):
    run = tmp_path / "run"
    into = ["--output_dir", str(run), "--quiet", "--overwrite"]
    before = ["pretrain", *into, "--steps", "1", *FLAGS]
    assert main(before) == 0
    assert main(["train", str(scan_file), "--from", str(bundle), "--nepochs", "1", *into]) == 0
    assert (run / "training.json").exists()
    assert not (run / "pretraining.json").exists()
    assert main(before) == 0
    assert (run / "pretraining.json").exists()
    assert not (run / "training.json").exists()
    assert not list(run.glob("checkpoints/*.ckpt"))


def test_the_seed_decides_the_network():
    once, again, other = (
        pretrain(PretrainingConfig(**SMALL, steps=3, seed=seed)).pinn.network.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not all(torch.equal(once[name], other[name]) for name in once)


def test_one_device_does_all_steps(monkeypatch):
    """Others would draw the same steps."""
    asked = []

    class Told(lightning.Trainer):
        def __init__(self, **choices):
            asked.append(choices)
            super().__init__(**choices)

    monkeypatch.setattr(lightning, "Trainer", Told)
    pretrain(PretrainingConfig(**SMALL, steps=1))
    assert [choices["devices"] for choices in asked] == [1]


def test_it_learns():
    few = SMALL | {"n_regions": 4}
    still, quick = (PyTorchExecutionConfig(learning_rate=rate) for rate in (1e-9, 5e-3))
    before = pretrain(PretrainingConfig(**few, steps=1), still).history["val_loss"][-1]
    after = pretrain(PretrainingConfig(**few, steps=60), quick).history["val_loss"][-1]
    assert after < before, "nearer to objects that it has not seen"


def test_pre_training_goes_on_from_a_bundle(bundle, tmp_path):
    arguments = ["pretrain", "--output_dir", str(tmp_path), "--from", str(bundle), "--steps", "1", "--quiet", *FLAGS]
    assert main([*arguments, "--execution.learning_rate", "1e-12"]) == 0
    before, after = read_bundle(bundle), read_bundle(tmp_path)
    for name, weights in before.pinn.network.state_dict().items():
        torch.testing.assert_close(after.pinn.network.state_dict()[name], weights, atol=1e-6, rtol=0)
    assert after.manifest.began_from == before.manifest.sha256["weights.safetensors"]


def test_pre_training_takes_the_network_from_the_bundle(bundle, tmp_path, capsys):
    arguments = ["pretrain", "--from", str(bundle), "--steps", "1", "--n_workers", "0", "--n_regions", "2", "--quiet"]
    assert main([*arguments, "--output_dir", str(tmp_path / "on")]) == 0
    model = read_bundle(tmp_path / "on").config.model
    assert (model.N, model.architecture, model.lean_width) == (32, "lean", 8)
    assert main([*arguments, "--output_dir", str(tmp_path / "other"), "--lean_width", "16"]) == 2
    assert "lean_width is 16 but 8 there; expected the same; leave these choices" in capsys.readouterr().err


def test_steps_go_on_from_one_check_to_the_next():
    steps = _Onwards(25, 10)
    seen = []
    for epoch in range(3):
        steps.set_epoch(epoch)
        seen += list(steps)
    assert seen == list(range(25))


def test_time_that_is_up_ends_a_run_in_order():
    done = pretrain(PretrainingConfig(**SMALL, steps=100_000, minutes=0.02))
    assert 0 < done.n_patterns < 100_000
    assert done.n_steps == done.n_patterns / 8
    assert done.ended is None


def test_a_run_that_time_ends_goes_by_it_and_says_its_steps(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "APART", 0.0)
    assert main(["pretrain", "--output_dir", str(tmp_path), "--minutes", "0.02", *FLAGS]) == 0
    said = capsys.readouterr().err
    (row,) = csv.DictReader((tmp_path / "logs" / "metrics.csv").open())
    n_steps = int(row["step"]) + 1
    assert re.search(rf"pre-trained in \d+ s, {n_steps} steps \(\d+ patterns/s\)", said)
    done, total = np.array(re.findall(r"training: (\d+) of (\d+), ", said), int).T
    assert 3 <= len(done) <= 10
    assert (done <= total).all()
    assert 0.6 * n_steps <= done[-1] <= n_steps


class Impatient(Watcher):
    """Presses Ctrl-C after a few steps."""

    def see(self, progress):
        if progress.done == 3:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_a_run_in_order_with_what_was_learnt(ctrl_c_is_heard, tmp_path):
    done = pretrain(PretrainingConfig(**SMALL, steps=1000), folder=tmp_path, watcher=Impatient())
    (row,) = csv.DictReader((tmp_path / "logs" / "metrics.csv").open())
    assert int(row["step"]) == done.n_patterns / 8 - 1, "the last step that was taken"
    assert done.ended == signal.SIGINT
    assert 0 < done.n_patterns < 100 * 8
    assert len(done.history["train_loss"]) == 1


def tuning(folder, bundle, width=8):
    return TrainingConfig(ModelConfig(N=32, lean_width=width), nepochs=1, output_dir=folder, from_bundle=bundle)


def test_training_starts_from_the_weights_of_the_bundle(bundle, tmp_path):
    still = PyTorchExecutionConfig(learning_rate=1e-12, enable_checkpointing=False)
    done = fit(tuning(tmp_path, bundle), still, small_scan())
    before, after = read_bundle(bundle), done.pinn.network.state_dict()
    for name, weights in before.pinn.network.state_dict().items():
        torch.testing.assert_close(after[name], weights, atol=1e-6, rtol=0)
    assert done.began_from == before.manifest.sha256["weights.safetensors"]
    assert not torch.equal(done.pinn.probe, before.pinn.probe), "the probe is the scan's own"


def test_a_trained_network_is_a_start_that_saves_epochs(tmp_path):
    execution = PyTorchExecutionConfig(enable_checkpointing=False)
    scratch = tuning(tmp_path / "a", None, width=16)
    scratch.nepochs = 20
    trained = fit(scratch, execution, small_scan())
    write_bundle(tmp_path / "wts.h5.zip", trained.pinn, scratch)
    again = fit(tuning(tmp_path / "b", tmp_path, width=16), execution, small_scan(seed=5))
    fresh = fit(tuning(tmp_path / "c", None, width=16), execution, small_scan(seed=5))
    assert again.history["val_loss"][0] < fresh.history["val_loss"][0]


def test_the_verb_takes_the_network_from_the_bundle_and_names_it(bundle, scan_file, tmp_path):
    arguments = [
        "train",
        str(scan_file),
        "--from",
        str(bundle),
        "--output_dir",
        str(tmp_path),
        "--nepochs",
        "1",
        "--quiet",
    ]
    assert main(arguments) == 0
    tuned, start = read_bundle(tmp_path), read_bundle(bundle)
    assert tuned.config.model.lean_width == 8
    assert tuned.manifest.began_from == start.manifest.sha256["weights.safetensors"]


def test_a_preset_gives_way_to_the_bundle_and_its_rate_to_that_of_tuning(bundle, scan_file, tmp_path):
    start = [str(scan_file), "--from", str(bundle), "--output_dir", str(tmp_path), "--preset", "best"]
    given = training_parser("train", "Train.").read(start)
    config, execution = training_choices(given, resume=False)
    assert (config.model.architecture, config.model.lean_width, config.nepochs) == ("lean", 8, 80)
    assert execution.learning_rate == TUNING_RATE
    chosen = [*start, "--model.lean_width", "16", "--execution.learning_rate", "1e-3"]
    config, execution = training_choices(training_parser("train", "Train.").read(chosen), resume=False)
    assert (config.model.lean_width, execution.learning_rate) == (16, 1e-3)


def test_a_bundle_of_another_size_is_refused(bundle, tmp_path, capsys):
    write_npz(tmp_path / "scan.npz", small_scan(N=40, n_positions=12))
    arguments = ["train", str(tmp_path / "scan.npz"), "--from", str(bundle), "--output_dir", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "N is 40 but 32 there; expected the same; give a bundle for patterns of 40 px" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_bundle_of_another_network_is_refused(bundle, tmp_path):
    config = tuning(tmp_path, bundle)
    config.model.lean_width = 16
    with pytest.raises(ConfigError, match="lean_width is 16 but 8 there"):
        fit(config, PyTorchExecutionConfig(), small_scan())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--N", "36"], "N is 36; expected a multiple of 8; take 32 or 40 px"),
        (["--steps", "0"], "steps is 0"),
        (["--fewest_photons", "1e6", "--most_photons", "1e4"], "fewest_photons is 1e+06, more than most_photons"),
        (["--most_overlap", "1"], "most_overlap is 1"),
        (["--minutes", "0"], "minutes is 0"),
        (["--architecture", "cnn"], "unrolled or lean"),
    ],
)
def test_choices_that_can_not_be_are_refused(flags, says, tmp_path, capsys):
    assert main(["pretrain", "--output_dir", str(tmp_path / "run"), *flags]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
