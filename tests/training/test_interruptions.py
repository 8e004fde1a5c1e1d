"""A run that is asked to stop keeps its last step, and goes on to the bits of a run that was never asked."""

import csv
import os
import signal
from pathlib import Path

import lightning
import pytest
import torch

from ptycho.base.errors import ConfigError, DataError
from ptycho.base.interruption import Interruption
from ptycho.config.model import ModelConfig
from ptycho_torch.training.checkpoints import newest_checkpoint, read_state
from ptycho_torch.training.fit import fit, prepare
from tests.laws.scans import small_scan
from tests.training.test_fit import assert_same_weights, config_of, execution_of

SCAN = small_scan()
EPOCHS = 3
STEPS = 4  # an epoch


pytestmark = pytest.mark.usefixtures("ctrl_c_is_heard")


class Asks(lightning.Callback):
    """Somebody who sends signals while a step is taken."""

    def __init__(self, step, *signals):
        self.step, self.signals = step, signals

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.fit_loop.total_batch_idx == self.step:
            for number in self.signals:
                os.kill(os.getpid(), number)


def interrupted(config, execution, *scans, step, signals=(signal.SIGINT,)):
    run = prepare(config, execution, *scans, folder=config.output_dir)
    run.trainer.callbacks.insert(0, Asks(step, *signals))
    with pytest.raises(Interruption) as stopped:
        run.train()
    return stopped.value.number


def losses_in(folder):
    with (folder / "logs" / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


SUPERVISED = {"model": ModelConfig(N=32, lean_width=8, model_type="supervised")}
PLATEAU = {"scheduler": "ReduceLROnPlateau", "plateau_patience": 0, "plateau_threshold": 0.9, "plateau_min_lr": 1e-9}


@pytest.mark.parametrize(
    ("step", "choices", "machine"),
    [
        (5, {}, {}),
        (7, {"validation_fraction": 0.0, "gridsize": 2}, {}),
        (7, PLATEAU, {}),
        pytest.param(9, PLATEAU, {}, marks=pytest.mark.slow),
        pytest.param(0, {}, {}, marks=pytest.mark.slow),
        pytest.param(5, {"gridsize": 2}, {}, marks=pytest.mark.slow),
        pytest.param(7, {}, {}, marks=pytest.mark.slow),
        pytest.param(5, {"gridsize": 2, "sequential_sampling": True}, {}, marks=pytest.mark.slow),
        pytest.param(5, SUPERVISED, {}, marks=pytest.mark.slow),
        pytest.param(5, PLATEAU | {"validation_fraction": 0.0}, {}, marks=pytest.mark.slow),
        pytest.param(4, {"optimizer": "sgd"}, {"accum_steps": 2}, marks=pytest.mark.slow),
        pytest.param(5, {"probe_trainable": True}, {"num_workers": 1}, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_asked_to_stop_goes_on_to_the_same_bits(tmp_path, step, choices, machine):
    execution = execution_of(**machine)
    whole = fit(config_of(tmp_path / "whole", nepochs=EPOCHS, **choices), execution, SCAN)
    config = config_of(tmp_path / "stopped", nepochs=EPOCHS, **choices)
    assert interrupted(config, execution, SCAN, step=step) == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state = torch.load(tmp_path / "stopped" / "checkpoints" / "last.ckpt", weights_only=True)
    n_done = step + 1 + (-(step + 1) % machine.get("accum_steps", 1))
    assert state["ScanDataModule"]["start"] == divmod(n_done, STEPS)
    resumed = fit(config, execution, SCAN, resume=newest_checkpoint(tmp_path / "stopped"))
    assert resumed.history == whole.history
    assert resumed.n_patterns == whole.n_patterns
    assert_same_weights(resumed, whole)
    assert losses_in(tmp_path / "stopped") == losses_in(tmp_path / "whole")
    assert len(losses_in(tmp_path / "whole")) == EPOCHS
    names = [sorted(path.name for path in (tmp_path / run / "checkpoints").iterdir()) for run in ("whole", "stopped")]
    assert names[0] == names[1]


def test_a_second_request_ends_at_once_and_what_was_kept_stays(tmp_path):
    config = config_of(tmp_path, nepochs=EPOCHS)
    assert interrupted(config, execution_of(), SCAN, step=5) == signal.SIGINT
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    run = prepare(config, execution_of(), SCAN, folder=tmp_path)
    run.trainer.callbacks.insert(0, Asks(7, signal.SIGTERM, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run.train(tmp_path / "checkpoints" / "last.ckpt")
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize("scheduler", ["Default", "ReduceLROnPlateau"], ids=["all epochs", "stopped early"])
def test_a_run_that_was_killed_before_its_bundle_ends_with_the_same_network(tmp_path, scheduler):
    """The weights of the end are the averaged ones, and no epoch is added to a run that had learnt enough.

    A schedule that is planned for the whole run is followed to its end.
    """
    # Steps that change nothing are the surest way to stop early.
    machine = execution_of(learning_rate=1e-12, early_stop_patience=1)
    whole = fit(config := config_of(tmp_path, nepochs=6, scheduler=scheduler), machine, SCAN)
    assert (len(whole.history["val_loss"]) == 6) == (scheduler == "Default")
    again = fit(config, machine, SCAN, resume=newest_checkpoint(tmp_path))
    assert (again.history, again.n_patterns) == (whole.history, whole.n_patterns)
    assert_same_weights(again, whole)


def test_another_scan_is_noticed(tmp_path):
    fit(config_of(tmp_path, nepochs=1), execution_of(), SCAN)
    checkpoint = newest_checkpoint(tmp_path)
    for scans, named in (((small_scan(seed=3),), "training"), ((SCAN, small_scan(seed=3)), "validation")):
        with pytest.raises(DataError, match=rf"the {named} scan is not the one .*last\.ckpt .*; give that scan"):
            fit(config_of(tmp_path, nepochs=1), execution_of(), *scans, resume=checkpoint)


def test_another_number_of_processes_is_refused(tmp_path):
    """What one process has summed of an epoch says nothing of what two have, nor do its steps."""
    config = config_of(tmp_path, nepochs=EPOCHS)
    interrupted(config, execution_of(), SCAN, step=5)
    state = torch.load(checkpoint := newest_checkpoint(tmp_path), weights_only=True)
    torch.save(state | {"seen": state["seen"].repeat(2, 1)}, checkpoint)
    with pytest.raises(ConfigError, match=r"last\.ckpt is of 2 process\(es\), expected 1 as there are now; "):
        fit(config, execution_of(), SCAN, resume=checkpoint)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(tmp_path, caplog):
    config = config_of(tmp_path, nepochs=1)
    assert newest_checkpoint(tmp_path) is None
    fit(config, execution_of(), SCAN)
    folder = tmp_path / "checkpoints"
    (best,) = folder.glob("epoch=*")
    assert newest_checkpoint(tmp_path) == folder / "last.ckpt"
    (folder / ".partial-1-last.ckpt").write_bytes(b"half")
    (folder / "last.ckpt").write_bytes((folder / "last.ckpt").read_bytes()[:1000])
    assert newest_checkpoint(tmp_path) == best
    assert "last.ckpt is damaged; the checkpoint before it is taken" in caplog.text
    torch.save({"state_dict": {}, "callbacks": {}}, best)  # as an earlier version wrote it
    with pytest.raises(ConfigError, match=r"can't be read; .*start again with --overwrite"):
        newest_checkpoint(tmp_path)


class Bomb:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "opened"))


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    trap, checkpoint = tmp_path / "trap", tmp_path / "last.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": Bomb(trap)}, checkpoint)
    with pytest.raises(ConfigError, match="can't be read"):
        read_state(checkpoint)
    assert not trap.exists()
