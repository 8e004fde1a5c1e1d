"""Kernels attend as plain operations do: in programs of their own, free of type checks."""

import sys

import pytest
import torch

from ptycho_torch.networks import attention
from ptycho_torch.networks.attention import Attention, plainly
from tests.kernels import DEVICES, told

CHECKS = """
import sys, torch
from ptycho_torch.networks import attention, attention_kernels

device = sys.argv[1]
# The interpreter multiplies the bits of bfloat16 as if they were whole numbers.
short = torch.float16 if device == "cpu" else torch.bfloat16
torch.manual_seed(0)
kernels = attention._way(torch.empty(0, device=device).device, 16)
assert type(kernels) is attention_kernels.FewPlaces

def results(attend, parts, slope):
    leaf = parts.detach().requires_grad_()
    found = attend(leaf)
    return [part.double() for part in (found.detach(), *torch.autograd.grad(found, leaf, slope))]

# As many places as there is room for, fewer, and hardly any.
for batch, places, heads, width in ((3, 64, 4, 32), (2, 49, 2, 16), (2, 9, 1, 64), (2, 256, 1, 32), (1, 200, 2, 16)):
    parts = (2 * torch.randn(batch, places, 3, heads, width)).to(short).to(device)
    slope = torch.randn(batch, places, heads * width).to(short).to(device)
    exact = results(attention.plainly, parts.double(), slope.double())
    theirs, (ours, again) = results(attention.plainly, parts, slope), (
        results(attention._attended, parts, slope) for _ in range(2)
    )
    for mine, same, other, true in zip(ours, again, theirs, exact):
        assert torch.equal(mine, same)
        assert (mine - true).norm() <= 2 * (other - true).norm() + 1e-6 * true.norm()
print("same")
"""


@pytest.mark.parametrize("device", DEVICES)
def test_kernels_round_no_worse_than_plain_operations_and_repeat_themselves(device):
    told(CHECKS, device)


def test_without_kernels_the_operation_is_plain_and_has_the_same_gradients(monkeypatch):
    monkeypatch.setattr(attention, "_way", lambda *what: Attention())
    torch.manual_seed(0)
    parts = torch.randn(2, 3, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.equal(attention._attended(parts), plainly(parts))
    torch.autograd.gradcheck(attention._attended, parts)
    torch.library.opcheck(attention._attended, (parts,))


def test_without_a_compiler_attention_is_plain_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.networks.attention_kernels", None)
    assert type(attention._way.__wrapped__(torch.device("cpu"), 16)) is Attention
    assert "heads over few places have no kernels of their own, which is slower" in caplog.text
