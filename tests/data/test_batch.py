"""Patterns in counts on their device, and regions that do not touch each other."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho.acquisition.acquisition import Acquisition
from ptycho_torch.data.batch import gather, stack_regions
from ptycho_torch.data.scan import Scan
from tests.laws.scans import small_scan


@given(seed=st.integers(0, 999), n_regions=st.integers(1, 4), n_members=st.integers(1, 5))
def test_regions_share_no_pixel_and_members_keep_their_distances(seed, n_regions, n_members):
    size = 8
    generator = torch.Generator().manual_seed(seed)
    positions = 50 * torch.rand(n_regions, n_members, 2, dtype=torch.float64, generator=generator)
    placement = stack_regions(positions, size)
    look = placement.look()
    owner = torch.arange(n_regions).repeat_interleave(n_members)
    for region in range(n_regions):
        mine = look.adjoint((owner == region).float()[:, None, None].expand(-1, size, size).contiguous())
        rest = look.adjoint((owner != region).float()[:, None, None].expand(-1, size, size).contiguous())
        assert not (mine * rest).any()
        assert mine.sum() == n_members * size**2
    corners = placement.corners.view(n_regions, n_members, 2)
    found = corners + placement.remainder.view(n_regions, n_members, 2)
    for region, members in zip(positions, found, strict=True):
        torch.testing.assert_close((members - members[0]).double(), region - region[0], rtol=0, atol=1e-4)


def test_patches_that_lie_alike_are_placed_alike_wherever_the_scan_is():
    positions = 30 * torch.rand(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    here, there = stack_regions(positions, 8), stack_regions(positions + torch.tensor([-1000.0, 2000.0]), 8)
    assert torch.equal(here.corners, there.corners)
    assert here.object_shape == there.object_shape
    torch.testing.assert_close(here.remainder, there.remainder)


def test_a_batch_holds_the_counts_of_its_patterns_in_their_order():
    scan = Scan.of(small_scan())
    groups = torch.tensor([[3, 9], [21, 3]])
    batch = gather(scan, groups)
    assert torch.equal(batch.counts, scan.counts(torch.tensor([3, 9, 21, 3])))
    assert batch.placement.corners.shape == (4, 2)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32, np.float32, np.float64])
def test_counts_are_those_of_the_acquisition_whatever_the_dtype_of_the_file(dtype):
    made = small_scan(n_dead_pixels=30)
    scan = Scan.of(_with(made, patterns=made.patterns.astype(dtype)))
    expected = np.where(made.mask, made.patterns, 0)
    np.testing.assert_array_equal(scan.counts(slice(None)).numpy(), expected)
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
    return Acquisition(**{**vars(made), **changes})
