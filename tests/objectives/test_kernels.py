"""Kernels sum the deviance that plain operations sum: in programs of their own, free of type checks."""

import sys

import pytest
import torch

from ptycho_torch.objectives import poisson
from tests.kernels import DEVICES, told

CHECKS = """
import sys, torch
from ptycho_torch.objectives import kernels, poisson

device = sys.argv[1]
torch.manual_seed(0)
for size in (16, 41):
    expected = 20 * torch.rand(5, size, size) ** 4
    expected[0, 0] = 0.0
    measured = torch.poisson(expected + 0.1)
    measured[1, :2], expected[1, :2] = 0.0, 1e9
    mask = torch.rand(size, size) > 0.2
    sums = []
    for say, place, dtype in ((kernels.summed_deviance, device, torch.float32), (poisson._sum, "cpu", torch.float64)):
        leaf = expected.to(place, dtype).requires_grad_()
        found = say(leaf, measured.to(place, dtype), mask.to(place))
        sums.append([found.detach().cpu().double(), torch.autograd.grad(3 * found, leaf)[0].cpu().double()])
    for mine, exact in zip(*sums):
        torch.testing.assert_close(mine, exact, rtol=1e-5, atol=1e-5)
print("same")
"""


@pytest.mark.parametrize("device", DEVICES)
def test_kernels_sum_deviances_and_have_their_gradient(device):
    told(CHECKS, device)


def test_without_a_compiler_deviances_are_summed_plainly_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.objectives.kernels", None)
    assert poisson._sums.__wrapped__(torch.device("cpu")) is poisson._sum
    assert "deviances have no kernels of their own, which is slower" in caplog.text
