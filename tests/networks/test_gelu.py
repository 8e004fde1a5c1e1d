"""Kernels say the gelu that plain operations say: in programs of their own, free of type checks."""

import sys

import pytest
import torch

from ptycho_torch.networks import gelu
from tests.kernels import DEVICES, told

CHECKS = """
import sys, torch
from ptycho_torch.networks import gelu, gelu_kernels
from torch.nn import functional

device = sys.argv[1]
short = torch.float16 if device == "cpu" else torch.bfloat16
torch.manual_seed(0)
assert type(gelu._way(torch.empty(0, device=device).device)) is gelu_kernels.GeluKernels

def results(say, x, slope):
    leaf = x.detach().requires_grad_()
    found = say(leaf)
    return found.detach(), *torch.autograd.grad(found, leaf, slope)

images = 3 * torch.randn(3, 8, 5, 40)
images[0, 0, 0, :6] = torch.tensor([0.0, -0.0, 12.0, -12.0, 60.0, -60.0])
for x in (images, images.contiguous(memory_format=torch.channels_last), images[:, ::2], images[..., :7].mT):
    x, slope = x.to(device, short), torch.randn(x.shape).to(device, short)
    # The gaps of a slice travel too.
    x = x if x.is_contiguous() else torch.empty_strided(x.shape, x.stride(), dtype=short, device=device).copy_(x)
    exact = results(functional.gelu, x.double(), slope.double())
    mine, theirs = results(gelu._gelu, x, slope), results(functional.gelu, x, slope)
    for ours, other, true in zip(mine, theirs, exact):
        assert ours.dtype == short and ours.shape == true.shape
        assert (ours - true).abs().max() <= 2 * (other - true).abs().max()
print("same")
"""


@pytest.mark.parametrize("device", DEVICES)
def test_kernels_round_no_worse_than_plain_operations(device):
    told(CHECKS, device)


def test_without_kernels_the_operation_is_plain_and_has_the_same_gradients(monkeypatch):
    monkeypatch.setattr(gelu, "_way", lambda device: gelu.Gelu())
    torch.manual_seed(0)
    for x in (torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)):
        x = x.double().requires_grad_()
        assert torch.equal(gelu._gelu(x), torch.nn.functional.gelu(x))
        torch.autograd.gradcheck(gelu._gelu, x)
        torch.library.opcheck(gelu._gelu, (x,))


def test_without_a_compiler_gelus_are_plain_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.networks.gelu_kernels", None)
    assert type(gelu._way.__wrapped__(torch.device("cpu"))) is gelu.Gelu
    assert "gelus have no kernels of their own, which is slower" in caplog.text
