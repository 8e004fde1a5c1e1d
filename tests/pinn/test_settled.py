"""What follows from a probe is made once where a training says so, and anew everywhere else."""

import copy

import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.pinn.build import Constants, build
from tests.laws.scans import small_scan

SCAN = small_scan()
COUNTS = torch.from_numpy(SCAN.patterns[:2]).float()


def made(probe_trainable=False):
    torch.manual_seed(0)
    model = ModelConfig(N=SCAN.size, lean_width=16)
    return build(model, TrainingConfig(model, probe_trainable=probe_trainable), Constants.of(SCAN)).eval()


def with_another_probe(pinn):
    tensors = {name: tensor.clone() for name, tensor in pinn.state_dict().items()}
    tensors["probe_parts"] = tensors["probe_parts"].roll(3, 0) * 1.5
    return tensors


@pytest.mark.parametrize("assign", [False, True])
def test_another_probe_is_seen_at_once(assign):
    pinn = made()
    before = pinn.optics
    pinn.load_state_dict(with_another_probe(pinn), assign=assign)
    assert not torch.allclose(pinn.optics.bare, before.bare)
    torch.testing.assert_close(copy.deepcopy(pinn).optics.bare, pinn.optics.bare)


def test_a_network_that_was_made_for_inference_alone_predicts():
    with torch.inference_mode():
        pinn = made()
        patches = pinn.predict(COUNTS)
    torch.testing.assert_close(patches.clone(), made().predict(COUNTS).detach())


def test_a_settled_probe_is_followed_once_and_says_the_same():
    pinn = made()
    expected = pinn.predict(COUNTS)
    pinn.settle()
    assert pinn.optics is pinn.optics
    assert torch.equal(pinn.predict(COUNTS), expected)
    with torch.inference_mode():
        assert torch.equal(pinn.predict(COUNTS), expected)


def test_a_probe_that_learns_is_never_settled():
    pinn = made(probe_trainable=True)
    pinn.settle()
    assert pinn.settled is None
    assert pinn.optics.bare.requires_grad
