"""Kernels of a GPU say what plain operations say: in programs of their own, for what checks types is no kernel."""

import sys

import pytest
import torch

from ptycho_torch.inference import fastest
from ptycho_torch.inference.fastest import pages_for
from ptycho_torch.inference.pages import Pages
from tests.kernels import DEVICES, told

BOTH = """
import sys, torch
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import fused as kernels
from ptycho_torch.inference.fused import FusedPages
from ptycho_torch.inference.pages import Lit, Pages, Pixels
from ptycho_torch.physics.patches import PatchesAt

device, modes, dtype, scale = sys.argv[1], int(sys.argv[2]), getattr(torch, sys.argv[3]), float(sys.argv[4])
size = int(sys.argv[5])
# So few that a frame has several programs.
kernels.ROUNDS = 4
torch.manual_seed(0)

def rand(*shape):
    return torch.rand(*shape).to(device)

def fields(*shape):
    return torch.complex(torch.randn(shape), torch.randn(shape)).to(device)

def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))

def same_judgement(found, expected, each):
    same(*(judged.sums.sum(dim=1, dtype=torch.float64) for judged in (found, expected)))
    assert (found.deviance is not None) == each
    if each:
        same(found.deviance, expected.deviance)

field, change = 5 * rand(5, 1, size, size) * fields(5, modes, size, size), fields(5, modes, size, size)
counts = torch.poisson(20 * torch.rand(7, size, size) ** 3)
# As of a file that stores columns one after the other.
counts, mask = (part.mT.contiguous().mT for part in (counts.to(dtype).to(device), rand(size, size) > 0.1))
scan = Scan(counts, rand(7, 2).double(), mask, scale or None)
frames, mask_of = torch.tensor([3, 0, 6, 2, 2], device=device), torch.tensor([0, 1, 0, 1, 1], device=device)
pixels = Pixels(scan, frames, None, rand(2, size, size) < 0.1, mask_of)
haze = torch.tensor(0.3, device=device)
plain, fused = Pages(), FusedPages()
for along, each in ((None, True), ((change, torch.tensor(0.4, device=device)), False)):
    fields_there = field.clone(), field.clone()
    found, expected = (
        pages.judged(there, along, haze, pixels, each=each) for pages, there in zip((fused, plain), fields_there)
    )
    same(*fields_there)
    same(fields_there[0], field if along is None else field + 0.4 * change)
    (found, slope), (expected, other) = found, expected
    same(slope, other)
    same_judgement(found, expected, each)
same(*(pages.bent(field, change, haze, -haze, pixels).sum(dtype=torch.float64) for pages in (fused, plain)))

corners = torch.stack([torch.randint(0, 10, (5,)), torch.randint(0, 13, (5,))], dim=1)
lit = Lit(PatchesAt(corners.to(device), size, (size + 9, size + 12)), fields(5, modes, size, size))
along = fields(size + 9, size + 12) / size
(found, bent), (expected, other) = (
    pages.changed(lit, along, field, haze, -haze, pixels) for pages in (fused, plain)
)
same(found, expected)
same(*(part.sum(dtype=torch.float64) for part in (bent, other)))
for each in (True, False):
    results = []
    for pages in (fused, plain):
        there, gradient = field.clone(), along.clone()
        go = expected, torch.tensor(0.4, device=device)
        judged = pages.judged_further(lit, there, *go, haze, pixels, gradient, each=each)
        results.append((judged, there, gradient))
    (found, *fields_found), (of_plain, *fields_expected) = results
    for mine, other in zip(fields_found, fields_expected):
        same(mine, other)
    same_judgement(found, of_plain, each)
print("same")
"""


# Sides that kernels transform, and one that they don't.
@pytest.mark.parametrize(
    ("modes", "dtype", "scale", "size"),
    [(1, "uint16", 0, 40), (2, "uint8", 0, 40), (2, "float32", 0.5, 64), (1, "uint8", 0, 64), (1, "float32", 0.5, 128)],
)
@pytest.mark.parametrize("device", DEVICES)
def test_kernels_say_what_plain_operations_say(device, modes, dtype, scale, size):
    told(BOTH, device, modes, dtype, scale, size)


def test_kernels_are_for_gpus_with_much_to_do(monkeypatch):
    kernels = Pages()
    monkeypatch.setattr(fastest, "_fused", lambda device: kernels)
    gpu = torch.device("cuda")
    assert pages_for(gpu, fastest.FUSED_FROM) is kernels
    assert pages_for(gpu, fastest.FUSED_FROM - 1) is not kernels
    assert pages_for(torch.device("cpu"), fastest.FUSED_FROM) is not kernels
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert pages_for(gpu, fastest.FUSED_FROM) is not kernels


def test_without_a_compiler_operations_are_plain_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.inference.fused", None)
    assert type(fastest._fused.__wrapped__(torch.device("cpu"))) is Pages
    assert "iterations have no kernels of their own, which is slower" in caplog.text
