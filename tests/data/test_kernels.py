"""A kernel gathers the counts that plain operations gather: in a program of its own, free of type checks."""

import sys

import pytest
import torch

from ptycho_torch.data import scan
from tests.kernels import DEVICES, told

CHECKS = """
import sys, torch
from ptycho_torch.data import kernels, scan

device = sys.argv[1]
torch.manual_seed(0)
indices = torch.tensor([4, 0, 6, 6], device=device)
for size in (16, 41):
    patterns = torch.poisson(50 * torch.rand(7, size, size) ** 3)
    mask = (torch.rand(size, size) > 0.2).to(device)
    patterns[5:, ~mask.cpu()] = 200
    # As of a file that stores columns one after the other, too.
    for stored in (patterns, patterns.mT.contiguous().mT):
        for dtype in (torch.uint8, torch.uint16, torch.int32, torch.float32, torch.float64):
            for scale in (None, 0.5):
                given = stored.to(dtype).to(device), indices, mask, scale
                assert torch.equal(kernels.counts(*given), scan._counts(*given)), (size, dtype, scale)
    patterns[4] = float("nan")
    assert torch.equal(kernels.counts(patterns.to(device), indices, mask, None)[0].isnan(), mask)
print("same")
"""


@pytest.mark.parametrize("device", DEVICES)
def test_kernels_gather_the_counts_of_plain_operations(device):
    told(CHECKS, device)


def test_without_a_compiler_counts_are_gathered_plainly_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ptycho_torch.data.kernels", None)
    assert scan._kernels.__wrapped__(torch.device("cpu")) is scan._counts
    assert "patterns have no kernels of their own, which is slower" in caplog.text
