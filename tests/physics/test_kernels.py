"""Kernels of the forward model say what plain operations say: in programs of their own, free of type checks."""

import sys

import pytest
import torch

from ptycho_torch.physics import per_pixel
from ptycho_torch.physics.per_pixel import PLAIN
from tests.kernels import DEVICES, told

SETTING = """
import sys, torch
from ptycho_torch.physics import kernels
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.per_pixel import PLAIN
from ptycho_torch.physics.subpixel import SubpixelShift

device, modes, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
ours = kernels.Kernels()
patches, (height, width) = 6, (2 * size, 2 * size + 3)

def fields(*shape):
    return torch.complex(torch.randn(shape), torch.randn(shape)).to(device)

def rand(*shape):
    return torch.rand(*shape).to(device)

def same(say, *given):
    # The same values, and the same gradients of what is given.
    results = []
    for way in (ours, PLAIN):
        leaves = [part.detach().clone().requires_grad_() for part in given]
        found = say(way, *leaves)
        slope = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(1)).to(device)
        results.append([found.detach(), *torch.autograd.grad(found, leaves, slope)])
    for mine, other in zip(*results):
        assert mine.dtype == other.dtype and mine.shape == other.shape
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))

corners = torch.stack([torch.randint(0, size + 1, (patches,)), torch.randint(0, size + 4, (patches,))], dim=1)
one_canvas = PatchesAt(corners.to(device), size, (height, width))
apart = corners + (height * (torch.arange(patches) // 3))[:, None] * torch.tensor([1, 0])
two_regions = PatchesAt(apart.to(device), size, (2 * height, width), n_regions=2)
place = SubpixelShift(rand(patches, 2), size)
"""
CHECKS = """
for own, how in ((1, {}), (patches, {"back": True}), (1, {"zero": size // 2}), (patches, {"zero": 3})):
    same(lambda way, x: way.turned(x, place, **how), fields(own, modes, size, size))
for weight in (rand(size, size), rand(patches, size, size)):
    same(lambda way, x: way.lit(x, weight), fields(patches, size, size))
# In any order, in that of the patches, and sorted.
for repeats, many in ((False, kernels.MANY), (True, kernels.MANY), (True, 2)):
    torch.use_deterministic_algorithms(repeats)
    kernels.MANY = many
    for look in (one_canvas, two_regions):
        same(lambda way, x: way.cut(x, look), fields(*look.object_shape))
        same(lambda way, x: way.stitched(x, look), fields(patches, size, size))
        probes = fields(patches, modes, size, size)
        same(lambda way, x: way.exit_waves(probes, x, look), fields(*look.object_shape))
        same(lambda way, x, probes: way.exit_waves(probes, x, look), fields(*look.object_shape), probes)
        canvas, added = fields(*look.object_shape), fields(patches, size, size)
        for add in ("add_to", "add_back"):
            given = (added,) if add == "add_to" else (probes, fields(patches, modes, size, size))
            sums = [getattr(way, add)(canvas.clone(), *given, look) for way in (ours, PLAIN)]
            torch.testing.assert_close(*sums, rtol=1e-5, atol=1e-5)
same(lambda way, x: way.intensity(x), fields(patches, modes, size, size))
for shape in ((), (patches,)):
    given = rand(patches, size, size), rand(*shape, size, size), fields(*shape, modes, size, size)
    torch.testing.assert_close(*(way.missing(*given) for way in (ours, PLAIN)))
same(lambda way, x: way.missing(x, given[1], given[2]), given[0])
print("same")
"""
# Whole numbers: the adjoint is exact, and so is what another order of the sums gives.
ADJOINT = """
def whole(*shape):
    return torch.complex(*torch.randint(-3, 4, (2, *shape)).float()).to(device)

for repeats, look in ((False, one_canvas), (False, two_regions), (True, one_canvas), (True, two_regions)):
    torch.use_deterministic_algorithms(repeats)
    canvas, waves = whole(*look.object_shape), whole(patches, size, size)
    forth, back = ours.cut(canvas, look), ours.stitched(waves, look)
    assert torch.equal(forth, PLAIN.cut(canvas, look)) and torch.equal(back, PLAIN.stitched(waves, look))
    assert torch.vdot(forth.flatten(), waves.flatten()) == torch.vdot(canvas.flatten(), back.flatten())
print("same")
"""


# Sides of a power of two and others, of more pixels than a block and of fewer.
@pytest.mark.parametrize(("modes", "size"), [(1, 16), (2, 24), (3, 7)])
@pytest.mark.parametrize("device", DEVICES)
def test_kernels_and_their_gradients_say_what_plain_operations_say(device, modes, size):
    told(SETTING + CHECKS, device, modes, size)


@pytest.mark.parametrize("device", DEVICES)
def test_of_whole_numbers_cutting_and_stitching_are_exact(device):
    told(SETTING + ADJOINT, device, 1, 12)


def test_without_a_compiler_the_forward_model_is_plain_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.physics.kernels", None)
    assert per_pixel._kernels.__wrapped__(torch.device("cpu")) is PLAIN
    assert "fields of the forward model have no kernels of their own, which is slower" in caplog.text
