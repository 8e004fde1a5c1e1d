"""Kernels make the patches that plain operations make: in programs of their own, free of type checks."""

import sys

import pytest
import torch

from ptycho_torch.networks import heads
from tests.kernels import DEVICES, told

CHECKS = """
import sys, torch
from ptycho_torch.networks import heads
from ptycho_torch.networks.head_kernels import patches_of
from ptycho_torch.networks.heads import UNIT
from torch.nn.functional import pixel_shuffle, softplus

device = sys.argv[1]
torch.manual_seed(0)

def results(say, logits, slope):
    logits = logits.detach().requires_grad_()
    found = say(logits)
    return found.detach(), *torch.autograd.grad(found, logits, slope)

for channels, dtype in ((1, torch.float32), (4, torch.float32), (1, torch.float16), (1, torch.bfloat16)):
    logits = (5 * torch.randn(3, 8 * channels, 12, 12)).to(device, dtype)
    slope = torch.randn(3, channels, 24, 24, dtype=torch.complex64).to(device)
    double, steep = logits.double(), slope.to(torch.complex128)
    amplitude, phase = pixel_shuffle(double, 2).chunk(2, dim=1)
    truth = torch.polar(softplus(amplitude + UNIT), torch.pi * phase)
    for stored in (torch.contiguous_format, torch.channels_last):
        there = logits.contiguous(memory_format=stored)
        mine, other = (results(say, there, slope) for say in (patches_of, lambda x: heads._plainly(x, None)))
        torch.testing.assert_close(mine[0].to(torch.complex128), truth, rtol=1e-5, atol=1e-5)
        assert mine[1].dtype == dtype and mine[1].stride() == there.stride()
        near = {"rtol": 1e-4 if dtype == torch.float32 else 1e-2, "atol": 1e-4}
        torch.testing.assert_close(mine[1].float(), other[1].float(), **near)
    # As a compiler may leave them: one image after the other, and not the batch's images.
    apart = logits.transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(results(patches_of, apart, slope), results(patches_of, logits, slope), rtol=0, atol=0)
    # Weighted, by one or each by its own.
    for weight in (torch.rand(24, 24), torch.rand(3 * channels, 24, 24)):
        weight = weight.to(device)
        mine = results(lambda x: patches_of(x, weight), logits, slope)
        other = results(lambda x: heads._plainly(x, weight), logits, slope)
        torch.testing.assert_close(mine[0], other[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(mine[1].float(), other[1].float(), **near)
# Far from zero the amplitude is neither nothing nor infinite.
ends = torch.tensor([-60.0, -20.0, 20.0, 60.0], device=device).view(1, 4, 1, 1)
found = patches_of(torch.cat([ends, 0 * ends], dim=1))[0, 0].real
torch.testing.assert_close(found.flatten(), softplus(ends + UNIT).flatten(), rtol=1e-5, atol=0)
print("same")
"""


@pytest.mark.parametrize("device", DEVICES)
def test_kernels_make_the_patches_and_gradients_of_plain_operations(device):
    told(CHECKS, device)


def test_without_a_compiler_patches_are_made_plainly_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.networks.head_kernels", None)
    assert heads._by_kernels.__wrapped__(torch.device("cpu")) is heads._plainly
    assert "patches of the network have no kernels of their own, which is slower" in caplog.text
