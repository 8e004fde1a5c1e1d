"""Transforms of a GPU say what those of the library say: in programs of their own, free of type checks."""

import sys

import pytest
import torch

from ptycho_torch.physics import transforms
from ptycho_torch.physics.transforms import SIDES, by_library
from tests.kernels import DEVICES, told

CHECKS = """
import sys, torch
from ptycho_torch.physics import transform_kernels
from ptycho_torch.physics.transform_kernels import by_kernels
from ptycho_torch.physics.transforms import by_library

device, size = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
# Few of some sides are left to the library; here all are, or none.
transform_kernels.SIDES[size] = int(sys.argv[3])

def fields(*shape):
    return torch.complex(torch.randn(shape), torch.randn(shape)).to(device)

def close(found, exact, error):
    assert found.dtype == torch.complex64 and found.shape == exact.shape
    assert float((found - exact).abs().max()) < error * float(exact.abs().max())

def checked(say, x):
    # Against double precision, and what follows for gradients of the given.
    leaves = x.clone().requires_grad_(), x.to(torch.complex128).requires_grad_()
    found, exact = (say(way, leaf) for way, leaf in zip((by_kernels, by_library), leaves))
    close(found, exact, 1e-6)
    slope = fields(*found.shape)
    ((mine,), (other,)) = (
        torch.autograd.grad(part, leaf, slope.to(part.dtype)) for part, leaf in zip((found, exact), leaves)
    )
    close(mine, other, 1e-6)

for shape in ((3,), (2, 1), ()):
    for back in (False, True):
        checked(lambda way, x: way(x, back=back), fields(*shape, size, size))
# Columns that follow each other, and conjugates that nobody has made yet.
checked(lambda way, x: way(x.mT.conj()), fields(2, size, size))
print("same")
"""
PULSE = """
import sys, torch
from ptycho_torch.physics import transform_kernels
from ptycho_torch.physics.transform_kernels import by_kernels

device, size = sys.argv[1], int(sys.argv[2])
transform_kernels.SIDES[size] = 1
# Of every single pixel a wave: no two of them may be mistaken for each other.
for y, x in ((0, 0), (0, 1), (1, 0), (3, size - 1), (size // 2 + 5, 17)):
    pulse = torch.zeros(1, size, size, dtype=torch.complex64, device=device)
    pulse[0, y, x] = 1
    wave = by_kernels(pulse)
    axis = torch.arange(size, dtype=torch.float64, device=device)
    turns = (axis[:, None] * y + axis * x) / size
    expected = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)
    assert float((wave[0] - expected).abs().max()) < 1e-6
    again = by_kernels(wave, back=True) / size**2
    assert float((again - pulse).abs().max()) < 1e-6
print("same")
"""


@pytest.mark.parametrize(("size", "least"), [(64, 1), (128, 1), (128, 100)])
@pytest.mark.parametrize("device", DEVICES)
def test_transforms_and_their_gradients_are_those_of_the_library(device, size, least):
    told(CHECKS, device, size, least)


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("device", DEVICES)
def test_a_pixel_is_a_wave_and_a_wave_a_pixel(device, size):
    told(PULSE, device, size)


def test_kernels_are_for_squares_of_some_sides_in_single_precision(monkeypatch):
    asked = []
    monkeypatch.setattr(transforms, "may_be_launched", lambda _x: True)
    monkeypatch.setattr(transforms, "_transform_of", lambda size, _device: asked.append(size) or by_library)
    for shape, dtype in (((2, 64, 64), torch.complex64), ((64, 32), torch.complex64), ((64, 64), torch.complex128)):
        x = torch.ones(shape, dtype=dtype)
        torch.testing.assert_close(transforms.transformed(x), torch.fft.fft2(x))
    assert asked == [64]
    # Of others the library does it, without a word.
    transforms.transformed(torch.ones(100, 100, dtype=torch.complex64))
    assert asked == [64]


@pytest.mark.gpu
def test_a_gpu_has_kernels():
    for size in SIDES:
        told(
            "from ptycho_torch.physics import transform_kernels, transforms; import torch\n"
            f"kernels = transforms._transform_of({size}, torch.device('cuda')) is transform_kernels.by_kernels\n"
            "print('same' if kernels else 'other')",
            "cuda",
        )


def test_without_a_compiler_transforms_are_those_of_the_library_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.physics.transform_kernels", None)
    assert transforms._transform_of.__wrapped__(64, torch.device("cpu")) is by_library
    assert "transforms of fields have no kernels of their own, which is slower" in caplog.text
