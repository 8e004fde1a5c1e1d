"""A step of training reads nothing back: a GPU never waits for the processor, and does the same work every time."""

from dataclasses import replace

import lightning
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.data.batch import Step
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.stream import Pictures, SimulationStream
from ptycho_torch.physics.forward import stack_regions
from ptycho_torch.pinn.build import Constants, build, loss_of, objective_of
from ptycho_torch.pinn.simulated import distance, simulate
from ptycho_torch.training.clipping import clip
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.fit import prepare
from tests.laws.scans import small_scan

SCAN = small_scan(n_positions=60)
WIDE = small_scan(N=64, n_positions=12)
# What hands a value, or a shape that depends on values, to the processor.
READS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"}


class NothingIsRead(TorchDispatchMode):
    """Refuses what a device would be waited for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        assert name not in READS, f"{name} makes the processor wait for the device"
        return func(*args, **(kwargs or {}))


class NothingIsBrought(TorchDispatchMode):
    """Refuses what comes from the processor's memory, which a recorded step would not read anew."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)}
        assert len(devices) < 2, f"{func} brings something from one device to another"
        assert "cpu" not in devices, f"{func} works on the processor"
        return out


class Within(lightning.Callback):
    """Watches over every step from its loss to the new weights."""

    def __init__(self):
        self.steps = 0

    def on_train_batch_start(self, *_):
        self.mode = NothingIsRead()
        self.mode.__enter__()

    def on_train_batch_end(self, *_):
        self.mode.__exit__(None, None, None)
        self.steps += 1


def config_of(model, **choices):
    return TrainingConfig(model, **({"batch_size": 8, "nepochs": 1} | choices))


@pytest.mark.parametrize(
    ("scan", "model", "choices"),
    [
        (SCAN, {}, {}),
        (SCAN, {"gridsize": 2}, {}),
        (SCAN, {"object_big": False}, {"torch_loss_mode": "mae", "torch_mae_pred_l2_match_target": True}),
        (SCAN, {}, {"realspace_weight": 0.1, "realspace_mae_weight": 0.1, "probe_trainable": True}),
        (SCAN, {"architecture": "unrolled"}, {"gradient_clip_algorithm": "agc"}),
        (SCAN, {"model_type": "supervised"}, {}),
        (WIDE, {"architecture": "cnn"}, {"gradient_clip_algorithm": "value"}),
    ],
)
def test_a_step_can_be_taken_where_there_are_no_values(scan, model, choices):
    """On the meta device tensors have shapes only: whoever reads one is refused."""
    config = config_of(ModelConfig(N=scan.size, lean_width=8, **model), **choices)
    pinn = build(config.model, config, Constants.for_network(config.model, scan)).train().to("meta")
    loss = on_meta(loss_of(config.model, scan, Scan.of(scan), objective_of(config)))
    data = ScanDataModule(config, PyTorchExecutionConfig(), scan, None, 0)
    step = next(iter(data.train_dataloader()))
    step = step.to(torch.device("meta"))
    with NothingIsBrought():
        loss(pinn, step).backward()
        clip(list(pinn.parameters()), 1.0, config.gradient_clip_algorithm)
    with pytest.raises(NotImplementedError, match="meta"):
        stack_regions(torch.zeros(2, 3, 2, device="meta", dtype=torch.float64), 32)


def on_meta(value):
    """The same dataclass with every tensor in it on the meta device."""
    if isinstance(value, torch.Tensor):
        return value.to("meta")
    if not hasattr(value, "__dataclass_fields__"):
        return value
    return type(value)(**{name: on_meta(getattr(value, name)) for name in value.__dataclass_fields__})


@pytest.mark.parametrize("choices", [{}, {"thinning": 0.3}, {"model_type": "supervised"}, {"gridsize": 2}])
def test_lightning_reads_nothing_either(choices):
    model = {name: choices.pop(name) for name in ("model_type", "gridsize") if name in choices}
    config = config_of(ModelConfig(N=32, lean_width=8, **model), **choices)
    run = prepare(config, PyTorchExecutionConfig(accelerator="cpu"), SCAN, folder=None)
    within = Within()
    run.trainer.callbacks.insert(0, within)
    run.train()
    assert within.steps == len(run.data.train_dataloader())


def test_a_simulated_step_reads_nothing():
    stream = SimulationStream(32, 2, 6, ("lines",), (1e3, 1e5), (0.5, 0.8), reuse=4, seed=0, n_steps=2)
    config = config_of(ModelConfig(N=32, architecture="unrolled", lean_width=8))
    pictures, drawn = Pictures(), [stream[0], stream[1]]
    pinn = build(config.model, config, Constants.of_probe(drawn[0].probe[0])).train()
    for draw in drawn:
        assert stack_regions(draw.positions, 32).object_shape == (2 * draw.sides[0], draw.sides[1])
        with NothingIsRead():
            made = simulate(draw, pictures)
            distance(pinn(made.batch, made.probe), made.truth).backward()


@pytest.mark.parametrize("choices", [{}, {"batch_size": 20, "canvas_size": 5}, {"gridsize": 2}, {"gridsize": 3}])
def test_steps_have_one_canvas_and_it_holds_them(choices):
    scan = small_scan(n_positions=200)
    model = ModelConfig(N=32, gridsize=choices.pop("gridsize", 1))
    data = ScanDataModule(config_of(model, **choices), PyTorchExecutionConfig(), scan, None, 0)
    loader = data.train_dataloader()
    found = []
    for number in range(6):
        loader.sampler.set_epoch(number)
        for step in loader:
            height, width = stack_regions(torch.from_numpy(scan.positions)[step.groups], 32).object_shape
            assert step.sides[0] >= height // len(step.groups)
            assert step.sides[1] >= width
            found.append(step.sides)
    usual = max(set(found), key=found.count)
    assert found.count(usual) > 0.95 * len(found)


def test_a_far_flung_position_does_not_make_every_canvas_large():
    positions = SCAN.positions.copy()
    positions[7] += 5000
    far = replace(SCAN, positions=positions)
    data = ScanDataModule(config_of(ModelConfig(N=32)), PyTorchExecutionConfig(), far, None, 0)
    sides = np.array([step.sides for step in data.train_dataloader()])
    assert sides.max() > 4000
    assert (sides.max(axis=1) < 200).mean() > 0.5


def test_room_on_the_canvas_changes_nothing():
    config = config_of(ModelConfig(N=32, lean_width=8), realspace_weight=0.1)
    pinn = build(config.model, config, Constants.of(SCAN))
    loss = loss_of(config.model, SCAN, Scan.of(SCAN), objective_of(config))
    groups = torch.arange(60).view(3, 20)
    tight = loss(pinn, Step(groups))
    roomy = loss(pinn, Step(groups, (300, 400)))
    torch.testing.assert_close(roomy, tight, rtol=1e-6, atol=0)
