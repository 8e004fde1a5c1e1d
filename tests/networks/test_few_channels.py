"""Kernels convolve as plain operations do: in programs of their own, for what checks types is no kernel."""

import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from ptycho_torch.networks import three_by_three
from ptycho_torch.networks.blocks import ResidualBlock
from ptycho_torch.networks.convolution import Convolution
from ptycho_torch.networks.three_by_three import FEW, ThreeByThree
from tests.kernels import DEVICES, told
from tests.networks.convolutions import BLOCKS, DRAWN, EXACT, ROUNDED, Operations

# In and out: of a stem, of residual blocks, of a head.
CHANNELS = [(8, 16), (16, 16), (32, 32), (16, 8)]
SETTING = (
    DRAWN
    + """
from ptycho_torch.networks import few_channels, three_by_three

stride, convolve = 1, three_by_three.convolved
kernels = three_by_three._way(torch.empty(0, device=device).device, channels_out, channels)
assert type(kernels) is few_channels.FewChannels
SHAPES = (3, 24, 24), (17, 32, 32), (1, 5, 7), (2, 40, 64)
"""
)
FUSED = """
# What happens to sums before they are written. Far from zero a gelu is nothing, or what it is of.
for shape in ((3, 24, 24), (1, 5, 7)):
    images, slope, weight, bias = drawn(True, *shape)
    back = kernels.image_slope(slope, weight)
    high, low = torch.full_like(bias, 100), torch.full_like(bias, -100)
    whole = plain(*doubled((images, weight, high)))
    assert torch.equal(kernels.convolved(images, weight, high, slope).double(), whole + slope), shape
    inner, active = kernels.activated(images, weight, high, kept=True)
    assert torch.equal(inner.double(), whole) and torch.equal(active, inner), shape
    inner, active = kernels.activated(images, weight, low, kept=False)
    assert inner is None and not active.any(), shape
    through = 40 * images - 20
    one_by_one = torch.where(images > 0, back, 0)
    assert torch.equal(kernels.image_slope(slope, weight, through), one_by_one), shape
    assert torch.equal(kernels.image_slope(slope, weight, through, images), one_by_one + images), shape
print("same")
"""
GELU = """
x = torch.linspace(-9, 9, 16 * channels * 24, dtype=torch.float64).view(1, channels, 16, 24)
given = x.to(device, short).contiguous(memory_format=torch.channels_last)
weight, bias = torch.zeros(channels, channels, 3, 3, device=device), torch.zeros(channels, device=device)
weight[:, :, 1, 1] = torch.eye(channels, device=device)
_, active = kernels.activated(given, weight, bias, kept=False)
slope = kernels.image_slope(torch.ones_like(given), weight, given)
x = given.double().requires_grad_()
exact = functional.gelu(x)
exact.sum().backward()
for found, true in ((active, exact.detach()), (slope, x.grad)):
    assert ((found.double() - true).abs() <= 0.51 * torch.finfo(short).eps * true.abs() + 5e-7).all()
print("same")
"""
RESIDUAL = """
images, _, weight, bias = drawn(False, 3, 24, 24)
_, slope, weight_2, bias_2 = drawn(False, 3, 24, 24)
given = images, slope, weight, bias, weight_2, bias_2

def one_by_one(x, weight, bias, *seconds):
    return x + plain(functional.gelu(plain(functional.gelu(x), weight, bias)), *seconds)

exact, theirs = results(one_by_one, *doubled(given)), results(one_by_one, *given)
ours, again = (results(three_by_three.residual, *given) for _ in range(2))
for mine, same, other, true in zip(ours, again, theirs, exact):
    assert torch.equal(mine, same)
    assert (mine - true).abs().max() <= 2 * (other - true).abs().max() + 1e-6 * true.abs().max()
with torch.no_grad():
    assert torch.equal(three_by_three.residual(images, *given[2:]).double(), ours[0])
print("same")
"""
NETWORK = """
import torch
from ptycho_torch.base.recording import CudaGraphs
from ptycho_torch.networks import few_channels, three_by_three
from ptycho_torch.networks.lean import Lean
from ptycho_torch.networks.unet import level_widths

torch.manual_seed(0)
network = Lean(64, 1, level_widths(32, "slim")).to("cuda", memory_format=torch.channels_last)
for weight in network.parameters():
    torch.nn.init.normal_(weight, std=0.05)
images = torch.randn(32, 2, 64, 64, device="cuda").to(memory_format=torch.channels_last)
times, convolve = [], few_channels._convolve
few_channels._convolve = lambda *given, **more: times.append(None) or convolve(*given, **more)

def step(said):
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        found = said(images)
    return [found.detach(), *torch.autograd.grad(found.float().square().sum(), list(network.parameters()))]

few, three_by_three.FEW = three_by_three.FEW, ()
expected = step(network.said)
assert not times
three_by_three.FEW = few
step(network.said)  # which makes the kernels and tries them
times.clear()
ways = {"launched": step(network.said)}
assert len(times) == 19  # ten convolutions, and the slopes of all images but those that come from outside
compiled = torch.compile(network.said, dynamic=False)
step(compiled)
times.clear()
ways["compiled"] = step(compiled)
assert len(times) == 19
graphs = CudaGraphs(torch.device("cuda", 0))
for name, said in (("recorded", network.said), ("compiled and recorded", compiled)):
    for _ in range(2):
        graphs.aside(lambda: step(said))
    again = graphs.record(lambda: step(said))
    ways[name] = [part.clone() for part in again()]
    torch.cuda.synchronize()
for name, parts in ways.items():
    for part, other in zip(parts, expected):
        assert part.dtype == other.dtype, name
        assert (part.float() - other.float()).norm() < 0.02 * other.float().norm(), name
assert all(torch.equal(*pair) for pair in zip(ways["recorded"], ways["launched"]))
assert all(torch.equal(*pair) for pair in zip(ways["compiled and recorded"], ways["compiled"]))
print("same")
"""


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
    told(SETTING + BLOCKS, device, 16, 16)


@pytest.mark.parametrize("channels", [(8, 16), (32, 32)])
@pytest.mark.parametrize("device", DEVICES)
def test_what_happens_to_sums_before_they_are_written_is_exact_for_whole_numbers(device, channels):
    told(SETTING + FUSED, device, *channels)


@pytest.mark.parametrize("device", DEVICES)
def test_the_gelu_of_kernels_is_exact_to_what_16_bits_hold(device):
    told(SETTING + GELU, device, 16, 16)


@pytest.mark.parametrize("channels", [16, 32])
@pytest.mark.parametrize("device", DEVICES)
def test_a_residual_branch_rounds_no_worse_than_plain_operations_and_repeats_itself(device, channels):
    told(SETTING + RESIDUAL, device, channels, channels)


@pytest.mark.gpu
def test_a_network_says_the_same_with_kernels_launched_compiled_and_recorded():
    told(NETWORK, "cuda")


@pytest.mark.parametrize(
    ("device", "dtype", "channels", "by_kernels"),
    [
        ("cuda", torch.bfloat16, (FEW[0], FEW[-1]), True),
        ("cuda", torch.bfloat16, (FEW[-1], FEW[0]), True),
        ("cuda", torch.bfloat16, (FEW[0], 4), False),
        ("cuda", torch.bfloat16, (64, FEW[0]), False),
        ("cuda", torch.float16, (FEW[0], FEW[0]), False),
        ("cuda", torch.float32, (FEW[0], FEW[0]), False),
        ("cpu", torch.bfloat16, (FEW[0], FEW[0]), False),
    ],
)
def test_kernels_are_for_few_channels_of_short_numbers_on_a_gpu(device, dtype, channels, by_kernels):
    layer = ThreeByThree(*channels)
    with FakeTensorMode(), Operations() as done:
        x = torch.empty(2, channels[0], 8, 8, dtype=dtype, device=device)
        weights = {name: x.new_empty(weight.shape) for name, weight in layer.named_parameters()}
        assert torch.func.functional_call(layer, weights, (x,)).shape == (2, channels[1], 8, 8)
    assert ("ptychopinn::convolved" in done.names) == by_kernels


@pytest.mark.parametrize(
    ("dtype", "autocast", "width", "expected"),
    [
        (torch.bfloat16, False, FEW[0], {"ptychopinn::residual"}),
        (torch.bfloat16, True, FEW[-1], {"ptychopinn::residual"}),
        (torch.float32, True, FEW[0], {"ptychopinn::convolved"}),
        (torch.float32, False, FEW[0], set()),
        (torch.bfloat16, True, 64, set()),
    ],
)
def test_a_residual_block_of_few_channels_in_bfloat16_is_one_operation_and_keeps_its_dtype(
    dtype, autocast, width, expected, monkeypatch
):
    if autocast:  # which is not to be had for a GPU that is none
        monkeypatch.setattr(three_by_three, "_short", lambda x: True)
    block = ResidualBlock(width).to(dtype)
    with FakeTensorMode(), Operations() as done:
        x = torch.empty(2, width, 8, 8, dtype=dtype, device="cuda")
        weights = {name: x.new_empty(weight.shape) for name, weight in block.named_parameters()}
        found = torch.func.functional_call(block, weights, (x,))
    assert (found.shape, found.dtype) == (x.shape, dtype)
    assert {name for name in done.names if name.startswith("ptychopinn::")} == expected


@pytest.mark.usefixtures("no_kernels")
def test_a_residual_branch_has_the_same_gradients_as_its_parts_and_keeps_no_more():
    torch.manual_seed(0)
    sizes = (2, 3, 4, 5), (3, 3, 3, 3), (3,), (3, 3, 3, 3), (3,)
    given = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    kept, by_parts = [], []
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part) or part, lambda part: part):
        found = three_by_three.residual(*given)
    with torch.autograd.graph.saved_tensors_hooks(lambda part: by_parts.append(part) or part, lambda part: part):
        expected = residual_by_parts(*given)
    assert torch.equal(found, expected)
    assert bytes_of(kept) <= bytes_of(by_parts)
    torch.autograd.gradcheck(three_by_three.residual, given)
    active = functional.gelu(given[0].detach())
    torch.library.opcheck(three_by_three._residual, (given[0], active, *given[1:], True))
    with torch.no_grad():
        assert torch.equal(three_by_three.residual(*given), expected)
        torch.library.opcheck(
            three_by_three._residual, (*(part.detach() for part in (given[0], active, *given[1:])), False)
        )


def residual_by_parts(x, weight, bias, weight_2, bias_2):
    inner = functional.conv2d(functional.gelu(x), weight, bias, padding=1)
    return x + functional.conv2d(functional.gelu(inner), weight_2, bias_2, padding=1)


def bytes_of(parts):
    return sum({part.data_ptr(): part.nbytes for part in parts}.values())


@pytest.mark.usefixtures("no_kernels")
def test_without_kernels_the_operation_is_plain_and_has_the_same_gradients():
    torch.manual_seed(0)
    given = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((2, 3, 4, 5), (2, 3, 3, 3), (2,))]
    assert torch.equal(three_by_three.convolved(*given), functional.conv2d(*given, padding=1))
    torch.autograd.gradcheck(three_by_three.convolved, given)
    torch.library.opcheck(three_by_three.convolved, given)


def test_without_a_compiler_convolutions_are_plain_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.networks.few_channels", None)
    assert type(three_by_three._way.__wrapped__(torch.device("cpu"), 16, 8)) is Convolution
    assert "convolutions of 8 to 16 channels have no kernels of their own, which is slower" in caplog.text


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(three_by_three, "_way", lambda *what: Convolution())
