"""Arrays that remember what stitching must know of them, and grids that objects are laid on."""

import numpy as np
import pytest

from ptycho.assembly.bilinear import cut
from ptycho.base.errors import DataError
from ptycho.interop.frames import FramedOffsets, Members, MergedPatches, framed, merged, on_grid, reassemble_position


def offsets_of(positions):
    return positions[:, None, ::-1, None].astype(np.float64)


@pytest.fixture
def object_():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(40, 50)) + 1j * rng.normal(size=(40, 50))).astype(np.complex64)


def remembering(patches, relative=None, light=None):
    members = patches if patches.ndim == 4 else patches[:, None]
    relative = np.zeros((*members.shape[:2], 2)) if relative is None else relative
    light = np.ones(members.shape[-2:], np.float32) if light is None else light
    return merged(members[:, 0, ..., None].copy(), Members(members, relative, light))


def test_plain_arrays_give_a_canvas_about_the_mean_position():
    patches = np.ones((3, 16, 16, 1), np.complex64)
    positions = np.array([[20.0, 20.0], [23.0, 20.0], [20.0, 26.0]])
    canvas = reassemble_position(patches, offsets_of(positions), 8)
    assert canvas.shape == (16, 16, 1)
    assert canvas.dtype == np.complex64
    assert set(np.unique(canvas.real.round(5))) == {0.0, 1.0}


def test_framed_positions_put_every_pixel_where_the_object_has_it(object_):
    positions = np.array([[12.0, 13.0], [20.0, 24.0], [25.0, 40.0], [31.0, 9.0]])
    patches = np.stack([cut(object_, p[None], 16)[0] for p in positions])
    canvas = reassemble_position(remembering(patches), framed(offsets_of(positions), object_.shape), 8)[..., 0]
    assert canvas.shape == object_.shape
    seen = canvas != 0
    assert seen.sum() > 4 * 16 * 16 * 0.8
    np.testing.assert_allclose(canvas[seen], object_[seen], rtol=1e-5, atol=1e-5)


def test_members_of_a_group_lie_at_their_own_positions(object_):
    centres = np.array([[18.0, 20.0], [22.0, 30.0]])
    relative = np.array([[[-2.0, 1.0], [2.0, -1.0]], [[0.0, 3.0], [0.0, -3.0]]])
    patches = np.stack([cut(object_, centre + moved, 16) for centre, moved in zip(centres, relative, strict=True)])
    canvas = reassemble_position(remembering(patches, relative), framed(offsets_of(centres), object_.shape), 8)[..., 0]
    seen = canvas != 0
    np.testing.assert_allclose(canvas[seen], object_[seen], rtol=1e-5, atol=1e-5)


def test_light_decides_between_patches_that_disagree():
    light = np.zeros((8, 8), np.float32)
    light[:, :4] = 3.0
    light[:, 4:] = 1.0
    patches = np.stack([np.full((8, 8), 1), np.full((8, 8), 5)]).astype(np.complex64)
    positions = np.array([[4.0, 4.0], [4.0, 8.0]])
    canvas = reassemble_position(remembering(patches, light=light), offsets_of(positions), 8)[..., 0]
    np.testing.assert_allclose(canvas[0].real, [1] * 4 + [(1 * 1 + 3 * 5) / 4] * 4 + [5] * 4, rtol=1e-5)


def test_what_is_computed_from_patches_forgets_their_members():
    remembered = remembering(np.ones((3, 8, 8), np.complex64))
    assert remembered.members is not None
    for other in (2 * remembered, remembered + remembered, np.conj(remembered), remembered[:, 2:], remembered[0]):
        assert not isinstance(other, MergedPatches) or other.members is None


def test_copies_and_parts_remember_what_is_theirs(object_):
    positions = np.array([[12.0, 13.0], [20.0, 24.0], [25.0, 40.0], [31.0, 9.0]])
    patches = np.stack([cut(object_, p[None], 16)[0] for p in positions])
    remembered, offsets = remembering(patches), framed(offsets_of(positions), object_.shape)
    whole = reassemble_position(remembered, offsets, 8)
    np.testing.assert_array_equal(reassemble_position(remembered.copy(), offsets.copy(), 8), whole)
    for some in (slice(1, 3), np.array([2, 0]), np.array([True, False, False, True])):
        part = reassemble_position(remembered[some], offsets[some], 8)
        seen = part != 0
        np.testing.assert_allclose(part[seen], whole[seen], rtol=1e-4, atol=1e-5)
        assert part.shape == whole.shape


def test_positions_keep_their_frame_until_they_are_computed_with():
    offsets = framed(np.zeros((3, 1, 2, 1)), (40, 50))
    assert offsets[1:].object_shape == offsets.copy().object_shape == (40, 50)
    for computed in (-offsets, 2 * offsets, offsets - offsets.mean()):
        assert not isinstance(computed, FramedOffsets)


def test_flipped_positions_give_the_object_flipped_and_not_nothing(object_):
    positions = np.array([[12.0, 13.0], [20.0, 24.0], [25.0, 20.0]])
    patches = np.stack([cut(object_, p[None], 16)[0] for p in positions])
    canvas = reassemble_position(remembering(patches), -framed(offsets_of(positions), object_.shape), 8)
    assert (canvas != 0).mean() > 0.3


@pytest.mark.usefixtures("without_shape_checks")
def test_what_stitching_can_not_do_is_said(caplog):
    patches, offsets = np.ones((3, 16, 16), np.complex64), framed(np.full((3, 1, 2, 1), 20.0), (40, 50))
    with pytest.raises(DataError, match="3 objects and 2 positions"):
        reassemble_position(remembering(patches), offsets[:2], 8)
    reassemble_position(np.ones((3, 16, 16, 1), np.complex64), offsets, 8)
    assert "central 8 px" in caplog.text
    reassemble_position(remembering(patches), framed(np.full((3, 1, 2, 1), 400.0), (40, 50)), 8)
    assert "the image is empty" in caplog.text


@pytest.mark.parametrize("origin", [(0, 0), (3, -4), (-7, 2), (-20, 0), (30, 60)])
def test_an_object_is_cut_or_padded_onto_a_grid(origin):
    object_ = np.arange(1, 12 * 10 + 1).reshape(12, 10).astype(np.complex64)
    laid = on_grid(object_, np.array(origin, float), (15, 18))
    assert laid.shape == (15, 18)
    for y in range(15):
        for x in range(18):
            inside = 0 <= y - origin[0] < 12 and 0 <= x - origin[1] < 10
            assert laid[y, x] == (object_[y - origin[0], x - origin[1]] if inside else 0)
