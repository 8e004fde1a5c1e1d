"""A step taken as a whole, and replayed, leaves the bits that Lightning's own steps leave."""

import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho_torch.base.recording import REHEARSALS, CudaGraphs
from ptycho_torch.training import callbacks, compiled, lightning_module
from ptycho_torch.training.checkpoints import newest_checkpoint
from ptycho_torch.training.fit import fit
from ptycho_torch.training.lightning_module import PtychoModule
from tests.laws.scans import small_scan
from tests.training.test_canvas import Looks
from tests.training.test_fit import assert_same_weights, config_of, execution_of
from tests.training.test_interruptions import interrupted

SCAN = small_scan()
pytestmark = pytest.mark.usefixtures("ctrl_c_is_heard")
# A whole step reads its rate from a tensor: single precision holds this one, and a schedule that ends where it begins.
EXACT = {"learning_rate": 2.0**-8}
LEVEL = {"lr_min_ratio": 1.0}


class Again:
    """Stands in for a graph: to replay is to do the work again, on the tensors that were there when it was recorded."""

    def __init__(self, _device):
        self.aside_ = self.replayed = 0
        RECORDERS.append(self)

    def aside(self, take):
        self.aside_ += 1
        return take()

    def record(self, take, draws):
        self.draws = list(draws)

        def again():
            self.replayed += 1
            return take()

        return again


RECORDERS = []


@pytest.fixture
def whole(monkeypatch):
    """Training on the CPU takes its steps as a whole."""
    RECORDERS.clear()
    with monkeypatch.context() as patch:
        patch.setattr(lightning_module, "CudaGraphs", Again)
        patch.setattr(PtychoModule, "_records", lambda _: True)
        yield patch


CASES = {
    "patterns": {},
    "groups in order": {"gridsize": 2, "batch_size": 6, "sequential_sampling": True, "n_groups": 20},
    "thinned": {"thinning": 0.4, "batch_size": 8, "canvas_size": 4},
    "values clipped": {"gradient_clip_algorithm": "value"},
    "layers clipped": {"gradient_clip_algorithm": "agc", "optimizer": "adamw", "weight_decay": 0.01},
    "probe": {"probe_trainable": True},
    "plateau": {"scheduler": "ReduceLROnPlateau", "plateau_patience": 0, "plateau_factor": 0.5, "nepochs": 4},
    "supervised": {"model_type": "supervised"},
    "unrolled": {"architecture": "unrolled"},
    "regularised": {"realspace_weight": 0.1, "realspace_mae_weight": 0.5},
}
MODEL = ("gridsize", "architecture", "model_type")


def choices_of(name, folder):
    chosen = LEVEL | {"nepochs": 3} | CASES[name]
    model = ModelConfig(N=32, lean_width=8, **{key: chosen.pop(key) for key in MODEL if key in chosen})
    return config_of(folder, model=model, **chosen)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", CASES)
def test_whole_steps_end_in_the_same_bits(tmp_path, whole, name, precision):
    machine = execution_of(precision=precision, **EXACT)
    found = fit(choices_of(name, tmp_path / "whole"), machine, SCAN)
    (recorder,) = RECORDERS
    n_steps = recorder.aside_ + recorder.replayed
    assert recorder.replayed > n_steps / 2
    whole.undo()
    expected = fit(choices_of(name, tmp_path / "plain"), machine, SCAN)
    assert found.history == expected.history
    assert found.n_patterns == expected.n_patterns
    assert_same_weights(found, expected)


@pytest.mark.parametrize("scheduler", ["Default", "Exponential"])
def test_schedules_reach_a_replayed_step(tmp_path, whole, scheduler):
    choices = {"scheduler": scheduler, "lr_min_ratio": 0.01, "nepochs": 5}
    found = fit(config_of(tmp_path / "whole", **choices), execution_of(), SCAN)
    whole.undo()
    expected = fit(config_of(tmp_path / "plain", **choices), execution_of(), SCAN)
    for curve, losses in expected.history.items():
        assert found.history[curve] == pytest.approx(losses, rel=1e-3)


@pytest.mark.parametrize("choices", [{}, {"thinning": 0.4}], ids=["patterns", "thinned"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, whole, choices):
    expected = fit(config_of(tmp_path / "whole", nepochs=4, **choices), execution_of(), SCAN)
    config = config_of(tmp_path / "interrupted", nepochs=4, **choices)
    interrupted(config, execution_of(), SCAN, step=6)
    found = fit(config, execution_of(), SCAN, resume=newest_checkpoint(tmp_path / "interrupted"))
    assert found.history == expected.history
    assert_same_weights(found, expected)


def test_steps_of_another_shape_are_taken_one_by_one(tmp_path, whole):
    config = choices_of("groups in order", tmp_path)
    fit(config, execution_of(), SCAN)
    (recorder,) = RECORDERS
    n_epochs, (n_usual, n_odd) = 3, (3, 1)
    assert recorder.aside_ == REHEARSALS + n_epochs * n_odd
    assert recorder.replayed == n_epochs * n_usual - REHEARSALS


def test_a_step_that_can_not_be_recorded_is_taken_one_by_one_and_said_once(tmp_path, whole, caplog):
    def refuse(_recorder, _take, _draws):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    whole.setattr(Again, "record", refuse)
    found = fit(config_of(tmp_path / "whole", **LEVEL), execution_of(**EXACT), SCAN)
    (said,) = [record.getMessage() for record in caplog.records if "CUDA graph" in record.getMessage()]
    assert "kernel by kernel" in said
    assert "and more" not in said
    whole.undo()
    assert_same_weights(found, fit(config_of(tmp_path / "plain", **LEVEL), execution_of(**EXACT), SCAN))


def test_what_the_checkpoint_holds_is_a_number(tmp_path, whole):
    """Whoever reads the learning rate, or resumes without whole steps, needs to know nothing of them."""
    fit(config_of(tmp_path), execution_of(), SCAN)
    state = torch.load(newest_checkpoint(tmp_path), weights_only=True)
    (group,) = state["optimizer_states"][0]["param_groups"]
    assert isinstance(group["lr"], float)
    assert group["capturable"] is False


def test_whoever_looks_sees_the_patches_of_a_replayed_step(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(callbacks, "LISTENING", 1.0)
    looks = Looks(looks=True)
    fit(config_of(tmp_path, nepochs=4), execution_of(), SCAN, watcher=looks)
    assert len(looks.pictures) > 2


@pytest.fixture
def recorded(monkeypatch):
    """What was recorded on the device."""
    found, record = [], CudaGraphs.record
    monkeypatch.setattr(CudaGraphs, "record", lambda *args: found.append(args) or record(*args))
    return found


ON_THE_GPU = CASES | {
    "warm-up and cosine": {"lr_min_ratio": 0.01},
    "exponential": {"scheduler": "Exponential", "lr_min_ratio": 0.01},
}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", ON_THE_GPU)
def test_a_recorded_run_is_a_launched_one(tmp_path, recorded, monkeypatch, name, precision):
    """Over 20 steps that magnify rounding; inside a recorded one the learning rate is in single precision."""
    monkeypatch.setitem(CASES, name, ON_THE_GPU[name] | {"nepochs": 5})
    machine = execution_of(accelerator="cuda", precision=precision)
    found = fit(choices_of(name, tmp_path / "recorded"), machine, SCAN)
    assert len(recorded) == 1
    monkeypatch.setattr(PtychoModule, "_records", lambda _: False)
    expected = fit(choices_of(name, tmp_path / "launched"), machine, SCAN)
    for curve, losses in expected.history.items():
        assert found.history[curve] == pytest.approx(losses, rel=1e-3 if precision == "32-true" else 2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["patterns", "groups in order", "thinned", "plateau"])
def test_a_recorded_run_goes_on_to_the_same_bits(tmp_path, recorded, name):
    machine = execution_of(accelerator="cuda")
    expected = fit(choices_of(name, tmp_path / "whole"), machine, SCAN)
    config = choices_of(name, tmp_path / "interrupted")
    interrupted(config, machine, SCAN, step=6)
    found = fit(config, machine, SCAN, resume=newest_checkpoint(tmp_path / "interrupted"))
    assert len(recorded) == 3
    assert found.history == expected.history
    assert_same_weights(found, expected)


@pytest.mark.gpu
def test_a_compiled_run_is_a_plain_one(tmp_path, recorded, monkeypatch, caplog, without_shape_checks):
    plain = fit(config_of(tmp_path / "plain", nepochs=5), execution_of(accelerator="cuda"), SCAN)
    monkeypatch.setattr(compiled, "WORTH", 0)
    found = fit(config_of(tmp_path / "compiled", nepochs=5), execution_of(accelerator="cuda"), SCAN)
    assert "compile" not in caplog.text
    assert len(recorded) == 2
    for curve, losses in plain.history.items():
        assert found.history[curve] == pytest.approx(losses, rel=1e-2)


@pytest.mark.gpu
def test_someone_who_looks_on_sees_what_the_gpu_replays(tmp_path, recorded, monkeypatch):
    monkeypatch.setattr(callbacks, "LISTENING", 1.0)
    looks = Looks(looks=True)
    fit(config_of(tmp_path, nepochs=4), execution_of(accelerator="cuda"), SCAN, watcher=looks)
    assert len(recorded) == 1
    assert len(looks.pictures) > 2
