"""Kernels convolve to half the sides as plain operations do."""

import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from ptycho_torch.networks import halving
from ptycho_torch.networks.convolution import HalvingConvolution
from ptycho_torch.networks.halving import Halving
from ptycho_torch.networks.three_by_three import FEW
from tests.kernels import DEVICES, told
from tests.networks.convolutions import BLOCKS, DRAWN, EXACT, ROUNDED, Operations

CHANNELS = [(8, 16), (8, 32), (16, 32), (32, 32)]
SETTING = (
    DRAWN
    + """
from ptycho_torch.networks import halving, halving_kernels

stride, convolve = 2, halving.halved
kernels = halving._way(torch.empty(0, device=device).device, channels_out, channels)
assert type(kernels) is halving_kernels.HalvingFewChannels
SHAPES = (3, 24, 24), (17, 64, 32), (1, 6, 10), (2, 40, 64), (1, 2, 2)
"""
)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("device", DEVICES)
def test_of_whole_numbers_all_sums_are_exact(device, channels):
    told(SETTING + EXACT, device, *channels)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("device", DEVICES)
def test_kernels_round_no_worse_than_plain_operations_and_repeat_themselves(device, channels):
    told(SETTING + ROUNDED, device, *channels)


@pytest.mark.parametrize("device", DEVICES)
def test_results_do_not_depend_on_how_rows_are_split(device):
    told(SETTING + BLOCKS, device, 16, 32)


@pytest.mark.parametrize(
    ("device", "dtype", "channels", "sides", "by_kernels"),
    [
        ("cuda", torch.bfloat16, (FEW[0], FEW[-1]), (8, 6), True),
        ("cuda", torch.bfloat16, (FEW[0], FEW[0]), (8, 6), True),
        ("cuda", torch.bfloat16, (FEW[0], FEW[-1]), (7, 6), False),
        ("cuda", torch.bfloat16, (FEW[0], FEW[-1]), (8, 5), False),
        ("cuda", torch.bfloat16, (FEW[-1], 128), (8, 6), False),
        ("cuda", torch.bfloat16, (FEW[-1], FEW[0]), (8, 6), False),
        ("cuda", torch.bfloat16, (64, 64), (8, 6), False),
        ("cuda", torch.float16, (FEW[0], FEW[0]), (8, 6), False),
        ("cuda", torch.float32, (FEW[0], FEW[0]), (8, 6), False),
        ("cpu", torch.bfloat16, (FEW[0], FEW[0]), (8, 6), False),
    ],
)
def test_kernels_are_for_few_channels_of_short_numbers_and_even_sides_on_a_gpu(
    device, dtype, channels, sides, by_kernels
):
    layer = Halving(*channels)
    with FakeTensorMode(), Operations() as done:
        x = torch.empty(2, channels[0], *sides, dtype=dtype, device=device)
        weights = {name: x.new_empty(weight.shape) for name, weight in layer.named_parameters()}
        found = torch.func.functional_call(layer, weights, (x,))
    assert found.shape == (2, channels[1], *(-(-side // 2) for side in sides))
    assert ("ptychopinn::halved" in done.names) == by_kernels


def test_without_kernels_the_operation_is_plain_and_has_the_same_gradients(monkeypatch):
    monkeypatch.setattr(halving, "_way", lambda *what: HalvingConvolution())
    torch.manual_seed(0)
    given = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((2, 3, 4, 6), (2, 3, 3, 3), (2,))]
    assert torch.equal(halving.halved(*given), functional.conv2d(*given, stride=2, padding=1))
    torch.autograd.gradcheck(halving.halved, given)
    torch.library.opcheck(halving.halved, given)


def test_without_a_compiler_convolutions_are_plain_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.networks.halving_kernels", None)
    assert type(halving._way.__wrapped__(torch.device("cpu"), 32, 16)) is HalvingConvolution
    assert "convolutions of 16 to 32 channels that halve sides have no kernels of their own" in caplog.text
