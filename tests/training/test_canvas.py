"""The object that training shows for free: what the network predicts, where it lies, for whoever looks."""

import time

import numpy as np
import torch

from ptycho.base.watching import Watcher
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.predict import stitch
from ptycho_torch.physics.forward import place_on_canvas
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.training import callbacks
from ptycho_torch.training.canvas import RunningCanvas
from ptycho_torch.training.fit import fit
from tests.laws.scans import small_scan
from tests.training.test_fit import config_of, execution_of, weights_of

SCAN = small_scan()


def test_the_running_object_is_the_stitched_one():
    """At whole pixels, where both place a patch alike."""
    scan = Scan.of(SCAN)
    scan = Scan(scan.patterns, scan.positions.floor(), scan.mask, scan.count_scale)
    torch.manual_seed(0)
    model = ModelConfig(N=32, lean_width=8)
    pinn = build(model, TrainingConfig(model), Constants.of(SCAN))
    canvas = RunningCanvas(pinn.probe.detach(), scan)
    pinn.train()
    with torch.no_grad():
        for members in torch.arange(len(scan)).split(16):
            canvas.add(members, pinn.predict(scan.counts(members))[:, None])
    found, light = canvas.merged()
    placement, _ = place_on_canvas(scan.positions, scan.size)
    expected, coverage = stitch(pinn, scan, placement, torch.arange(len(scan))[:, None], batch_size=16)
    lit = coverage > 1e-2 * coverage.max()
    torch.testing.assert_close(light[lit], coverage[lit], rtol=1e-3, atol=0)
    torch.testing.assert_close(found[lit], expected[lit], rtol=1e-3, atol=1e-4)


class Looks(Watcher):
    def __init__(self, *, looks):
        self.looks = looks
        self.pictures = []

    @property
    def wants_picture(self):
        return self.looks

    def draw(self, object_, coverage):
        self.pictures.append((object_, coverage))


def test_keeping_patches_takes_its_share_of_the_time_only(tmp_path, monkeypatch):
    slow, kept = 0.05, []
    monkeypatch.setattr(RunningCanvas, "add", lambda canvas, members, _: (time.sleep(slow), kept.append(members)))
    done = fit(config_of(tmp_path, nepochs=8), execution_of(), SCAN, watcher=Looks(looks=True))
    assert 1 <= len(kept) <= 1 + callbacks.LISTENING * done.seconds / slow


def test_whoever_looks_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "LISTENING", 1.0)
    eager, blind = Looks(looks=True), Looks(looks=False)
    watched = fit(config_of(tmp_path / "a", nepochs=2), execution_of(), SCAN, watcher=eager)
    alone = fit(config_of(tmp_path / "b", nepochs=2), execution_of(), SCAN, watcher=blind)
    assert blind.pictures == []
    assert len(eager.pictures) > 2
    object_, coverage = eager.pictures[-1]
    assert np.isfinite(object_).all()
    assert (coverage > 0).any()
    assert not np.array_equal(object_, eager.pictures[0][0])
    assert all(torch.equal(tensor, weights_of(alone)[name]) for name, tensor in weights_of(watched).items())
