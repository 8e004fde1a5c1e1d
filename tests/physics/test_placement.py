"""Where patches lie: regions that do not touch each other, parts of a placement."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho_torch.physics.forward import merge, stack_regions
from tests.laws.contracts import random_complex


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


def test_members_far_apart_are_seen_as_if_each_were_alone():
    """The canvas is as large as the real offsets: nothing is wrapped, cropped or pulled towards a neighbour."""
    size = 8
    positions = torch.tensor([[[0.25, 0.0], [500.5, -3.0]], [[7.0, 900.75], [7.5, 900.0]]], dtype=torch.float64)
    patches, weight = random_complex((4, size, size), 0), torch.rand(size, size) + 0.1
    placement = stack_regions(positions, size)
    assert placement.object_shape == (2 * (501 + size - 1), max(4, 2) + size - 1 + 0)
    look = placement.look()
    canvas, _ = merge(patches, weight, look, placement.place())
    alone = stack_regions(positions.reshape(4, 1, 2), size)
    looked, lonely = look(canvas), alone.look()(merge(patches, weight, alone.look(), alone.place())[0])
    torch.testing.assert_close(looked[:2], lonely[:2])
    assert not torch.allclose(looked[2:], lonely[2:], atol=0.1), "members that overlap are merged"


def test_patches_that_lie_alike_are_placed_alike_wherever_the_scan_is():
    positions = 30 * torch.rand(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    here, there = stack_regions(positions, 8), stack_regions(positions + torch.tensor([-1000.0, 2000.0]), 8)
    assert torch.equal(here.corners, there.corners)
    assert here.object_shape == there.object_shape
    torch.testing.assert_close(here.remainder, there.remainder)
