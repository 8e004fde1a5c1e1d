"""Kernels of a GPU say what plain operations say: in programs of their own, for what checks types is no kernel."""

import sys
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch

from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import fastest
from ptycho_torch.inference.fastest import pages_for
from ptycho_torch.inference.pages import Pages
from tests.kernels import DEVICES, told

BOTH = """
import sys, torch
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import fused as kernels
from ptycho_torch.inference.fused import FusedPages, JoinedPages
from ptycho_torch.inference.pages import Lit, Pages, Pixels
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.transforms import SIDES

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
plain, fused = Pages(), JoinedPages()
if modes == 1 and size in SIDES:
    # Kernels of their own do it, or nobody.
    FusedPages.changed = FusedPages.judged_further = None
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

# An odd width, patches in all corners, and what does not begin where memory does.
height, width = size + 9, size + 13
corners = torch.tensor([[0, 0], [0, 13], [9, 0], [9, 13], [4, 5]], device=device)
lit = Lit(PatchesAt(corners, size, (height, width)), fields(5, modes, size, size).mT)
along = (fields(height * width + 1)[1:] / size).view(height, width)
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
    pair, joined = Pages(), Pages()
    monkeypatch.setattr(fastest, "_fused", lambda device: pair)
    monkeypatch.setattr(fastest, "_joined", lambda *_, scaled: joined)

    def scan(device, size=64):
        positions = SimpleNamespace(device=torch.device(device))
        return Mock(spec=Scan, positions=positions, size=size, patterns=torch.empty(0), count_scale=None)

    assert pages_for(scan("cuda"), fastest.FUSED_FROM) is pair
    assert pages_for(scan("cuda"), fastest.FUSED_FROM - 1) not in (pair, joined)
    assert pages_for(scan("cuda"), fastest.JOINED_FROM - 1) is pair
    assert pages_for(scan("cuda"), fastest.JOINED_FROM) is joined
    assert pages_for(scan("cuda", 100), fastest.JOINED_FROM) is pair
    assert pages_for(scan("cpu"), fastest.JOINED_FROM) not in (pair, joined)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert pages_for(scan("cuda"), fastest.JOINED_FROM) not in (pair, joined)


def test_without_a_compiler_operations_are_plain_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.inference.fused", None)
    assert type(fastest._fused.__wrapped__(torch.device("cpu"))) is Pages
    assert "iterations have no kernels of their own, which is slower" in caplog.text


@pytest.mark.parametrize("refuses", ["changed", "judged_further"])
def test_where_transforms_are_refused_kernels_are_those_without(monkeypatch, caplog, refuses):
    """All that is launched later is tried before."""

    class Refusing(Pages):
        pass

    def refuse(*_, **__):
        raise RuntimeError("out of resource: shared memory")

    setattr(Refusing, refuses, refuse)
    pair = Pages()
    monkeypatch.setattr(fastest, "_fused", lambda _device: pair)
    monkeypatch.setitem(sys.modules, "ptycho_torch.inference.fused", SimpleNamespace(JoinedPages=Refusing))
    device = torch.device("cpu")
    assert fastest._joined.__wrapped__(device, 64, torch.uint8, scaled=True) is pair
    assert "transforms within iterations have no kernels of their own, which is slower: out of resource" in caplog.text
    monkeypatch.setattr(Refusing, refuses, getattr(Pages, refuses))
    assert type(fastest._joined.__wrapped__(device, 64, torch.uint8, scaled=True)) is Refusing
