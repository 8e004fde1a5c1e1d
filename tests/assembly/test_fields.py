"""Fields that overlap make one canvas."""

import os
import shutil
import tempfile
import tracemalloc

import numpy as np
import pytest

from ptycho.assembly.fields import Canvas, fields_of
from ptycho.base.errors import OutputError
from ptycho.base.mapped import is_mapped

SIZE, SHAPE = 16, (150, 230)
CORNERS = np.random.default_rng(0).integers(0, np.array(SHAPE) - SIZE + 1, (500, 2))


@pytest.mark.parametrize("side", [16, 40, 100, 1000])
@pytest.mark.parametrize("folder", [True, False])
def test_weights_add_up_to_one_and_every_frame_has_one_owner(tmp_path, side, folder):
    fields = fields_of(CORNERS, SIZE, SHAPE, side, least=3)
    canvas = Canvas(SHAPE, np.float32, tmp_path if folder else None)
    owned = np.zeros(len(CORNERS), int)
    for field in fields:
        canvas.add(field.window, field.weight)
        owned[field.frames[field.owned]] += 1
        assert all(part.stop - part.start <= side + SIZE for part in field.window) or side < 2 * SIZE
    np.testing.assert_allclose(canvas.array(), 1, rtol=1e-6)
    assert (owned == 1).all()
    assert list(tmp_path.iterdir()) == []
    assert is_mapped(canvas.array()) == folder


def test_a_field_has_all_frames_whose_light_reaches_it():
    for field in fields_of(CORNERS, SIZE, SHAPE, 40, least=1):
        seen = np.zeros(SHAPE, int)
        for frame in np.setdiff1d(np.arange(len(CORNERS)), field.frames):
            y, x = CORNERS[frame]
            seen[y : y + SIZE, x : x + SIZE] += 1
        assert not seen[field.window].any()


def test_a_frame_in_the_corner_is_not_left_out_for_nearer_ones_outside():
    """Of nine fields that of the middle has one frame, in its corner, and many beside it that do not reach it."""
    side, shape = 96, (3 * 96, 3 * 96)
    corner, beside = [[183, 183]], [[88 - SIZE, 130 + i] for i in range(12)]
    corners = np.array(corner + beside)
    fields = fields_of(corners, SIZE, shape, side, least=8)
    assert sum(field.owned.sum() for field in fields) == len(corners)
    (middle,) = (f for f in fields if f.window[0].start == f.window[1].start == side - SIZE // 2)
    assert len(middle.frames) == 8
    assert 0 in middle.frames


def test_the_middle_comes_first_and_nowhere_is_a_field_of_few_frames():
    corners = np.array([[0, 0], [134, 214], [134, 213], [133, 214], [130, 210], [131, 200]])
    fields = fields_of(corners, SIZE, SHAPE, 40, least=4)
    assert all(len(field.frames) >= 4 for field in fields)
    assert sum(field.owned.sum() for field in fields) == len(corners)
    first = [np.mean([part.start, part.stop]) for part in fields_of(CORNERS, SIZE, SHAPE, 40, least=1)[0].window]
    assert np.linalg.norm(np.array(first) - np.array(SHAPE) / 2) < 40


def around(centre, radius, n):
    """Patches on a ring."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.round(centre + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)).astype(np.int64)


def test_a_field_of_few_frames_does_not_speak_for_all():
    """A band from corner to corner: only its width lies in the fields beside it, which are as near to the middle."""
    along = np.arange(0, 400, 2)
    first, *_, last = fields_of(np.stack([along, along + 1], axis=1), 16, (416, 417), 256, least=8)
    assert len(first.frames) > 90
    assert len(last.frames) < 20


@pytest.mark.parametrize("centres", [[(200, 200)], [(200, 200), (200, 800)]])
def test_a_field_comes_after_those_that_share_most_with_it(centres):
    """So that each finds the phase of others wherever light ties them: once for each island it finds none."""
    corners = np.concatenate([around(centre, 150, 600) for centre in centres])
    fields = fields_of(corners, SIZE, (416, 1016), 40, least=1)
    seen, shared = np.zeros(len(corners), bool), []
    for number, field in enumerate(fields):
        shared.append(seen[field.frames].sum())
        assert shared[-1] == max(seen[rest.frames].sum() for rest in fields[number:])
        seen[field.frames] = True
    assert len(fields) > 20 * len(centres)
    assert shared.count(0) == len(centres)


def test_all_fields_together_need_no_memory_for_the_pixels_of_their_canvas():
    shape, corners = (20_000, 30_000), np.random.default_rng(0).integers(0, 20_000 - SIZE, (500, 2))
    tracemalloc.start()
    fields = fields_of(corners, SIZE, shape, 1500, least=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(fields) > 100
    assert peak < shape[0] * shape[1] / 100


def test_a_canvas_that_does_not_fit_on_the_disk_is_told(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(OutputError, match="free; expected"):
        Canvas(SHAPE, np.complex64, tmp_path)


def test_a_canvas_has_its_room_on_the_disk_before_anything_is_added(tmp_path, monkeypatch):
    plain, files = tempfile.TemporaryFile, []

    def kept(**where):
        files.append(plain(**where))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", kept)
    monkeypatch.setattr("ptycho.assembly.fields.BLOCK", 1000, raising=False)
    canvas = Canvas(SHAPE, np.complex64, tmp_path)
    assert not canvas.array().any()
    (found,) = (os.fstat(file.fileno()) for file in files)
    assert found.st_size == 8 * SHAPE[0] * SHAPE[1]
    assert found.st_blocks * 512 >= found.st_size
