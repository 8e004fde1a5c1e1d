"""Patterns in counts on their device, and batches of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ptycho_torch.data.batch import Step, gather
from ptycho_torch.data.scan import Scan
from tests.laws.scans import small_scan


def test_a_batch_holds_the_counts_of_its_patterns_in_their_order():
    scan = Scan.of(small_scan())
    groups = torch.tensor([[3, 9], [21, 3]])
    batch = gather(scan, Step(groups))
    assert torch.equal(batch.counts, scan.counts(torch.tensor([3, 9, 21, 3])))
    assert torch.equal(batch.positions, scan.positions[groups])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int32, np.float32, np.float64])
def test_counts_are_those_of_the_acquisition_whatever_the_dtype_of_the_file(dtype, device):
    made = small_scan(n_dead_pixels=30)
    patterns = np.minimum(made.patterns, np.iinfo(np.uint8).max) if dtype is np.uint8 else made.patterns
    scan = Scan.of(_with(made, patterns=patterns.astype(dtype)), device)
    expected = np.where(made.mask, patterns, 0)
    np.testing.assert_array_equal(scan.counts(slice(None)).cpu().numpy(), expected)
    chosen = torch.tensor([5, 2, 5], device=device)
    np.testing.assert_array_equal(scan.counts(chosen).cpu().numpy(), expected[[5, 2, 5]])
    assert len(scan) == made.n_positions
    assert scan.size == made.size


def test_amplitudes_become_counts_by_their_scale():
    made = small_scan()
    amplitude = np.sqrt(made.patterns).astype(np.float32) / 3
    scan = Scan.of(_with(made, patterns=amplitude, quantity="amplitude", count_scale=3.0))
    np.testing.assert_allclose(scan.counts(slice(None)).numpy(), made.patterns, rtol=1e-5)


def test_what_masked_pixels_hold_is_never_seen():
    made = small_scan(n_dead_pixels=30)
    wild = np.where(made.mask, made.patterns.astype(np.float32), np.float32(np.nan))
    np.testing.assert_array_equal(
        Scan.of(_with(made, patterns=wild)).counts(slice(None)).numpy(), Scan.of(made).counts(slice(None)).numpy()
    )


def test_patterns_are_not_copied_on_the_cpu():
    made = small_scan()
    made = _with(made, patterns=made.patterns.astype(np.float32))
    assert Scan.of(made).patterns.data_ptr() == made.patterns.ctypes.data


def _with(made, **changes):
    return replace(made, **changes)
