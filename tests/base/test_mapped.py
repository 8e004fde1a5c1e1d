"""What is read from a file by position is what the map shows, and a file that shrinks is told in words."""

import os
from pathlib import Path

import numpy as np
import pytest

from ptycho.base import blocks as blocks_module
from ptycho.base import mapped
from ptycho.base.blocks import blocks, extremes
from ptycho.base.errors import DataError
from ptycho.base.mapped import is_mapped, map_array, rows_of

SHAPE = (40, 12, 10)
VIEWS = {
    "whole": lambda array: array,
    "a crop": lambda array: array[:, 3:9, 2:7],
    "mirrored": lambda array: array[:, ::-1, ::-1],
    "turned": lambda array: np.swapaxes(array, 1, 2),
    "every third frame": lambda array: array[::3],
    "every tenth frame": lambda array: array[::10],
    "backwards": lambda array: array[::-1],
    "pixels of all frames": lambda array: np.moveaxis(array, 0, -1),
    "one axis": lambda array: array.reshape(-1),
    "one number each": lambda array: array[:, 0, 0],
}
ROWS = {
    "some": slice(2, 5),
    "all": slice(None),
    "none": slice(3, 3),
    "out of order, one twice": np.array([1, 2, 0, 2, 3]),
    "no index": np.array([], np.int64),
    "from the end": np.array([-1, 0, -2]),
    "a mask": slice(1, None, 2),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "values.bin"
    values = np.random.default_rng(0).integers(0, 60_000, SHAPE)
    path.write_bytes(b"header!" + values.astype(">u2").tobytes())
    return path


def opened(path):
    return map_array(path, np.dtype(">u2"), 7, SHAPE)


@pytest.mark.parametrize("at_once", [1, 2**20])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("view", VIEWS)
def test_rows_are_those_that_the_map_shows(file, monkeypatch, view, rows, at_once):
    monkeypatch.setattr(mapped, "AT_ONCE", at_once)
    shown = VIEWS[view](opened(file))
    assert is_mapped(shown)
    which = np.arange(len(shown)) % 2 == 1 if rows == "a mask" else ROWS[rows]
    found = rows_of(shown, which)
    np.testing.assert_array_equal(found, np.array(shown)[which])
    assert found.dtype == shown.dtype
    out = np.empty_like(found)
    assert rows_of(shown, which, out) is out
    np.testing.assert_array_equal(out, found)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("rows", [np.array([0, 3]), np.array([-4]), np.ones(4, bool)])
def test_rows_that_are_not_there_are_refused_though_the_file_goes_on(file, view, rows):
    shown = VIEWS[view](opened(file))[1:4]
    with pytest.raises(IndexError):
        rows_of(shown, rows)


@pytest.mark.parametrize("view", VIEWS)
def test_a_system_that_brings_a_few_bytes_at_a_time_is_asked_again(file, monkeypatch, view):
    shown, plain = VIEWS[view](opened(file)), os.preadv

    def few(descriptor, places, offset):
        some = [place[: 100 if place.nbytes > 100 else None] for place in places[:2]]
        return plain(descriptor, some if some[0].nbytes < 100 else some[:1], offset)

    monkeypatch.setattr(os, "preadv", few)
    np.testing.assert_array_equal(rows_of(shown, slice(None)), np.array(shown))


def test_what_lies_in_memory_is_not_copied():
    array = np.arange(12.0).reshape(4, 3)
    assert np.shares_memory(rows_of(array, slice(1, 3)), array)


@pytest.mark.parametrize("view", VIEWS)
def test_a_file_that_became_shorter_is_told(file, view):
    shown = VIEWS[view](opened(file))
    os.truncate(file, 100)
    words = f"^{file} became shorter while it was read: found 100 bytes, expected at least [0-9]+; "
    with pytest.raises(DataError, match=words):
        rows_of(shown, np.arange(len(shown)))
    with pytest.raises(DataError, match=words):
        extremes(shown)


def test_a_file_that_vanished_or_was_replaced_is_read_as_it_was(file, tmp_path):
    shown, before = opened(file), np.array(opened(file))
    (tmp_path / "other").write_bytes(b"short")
    (tmp_path / "other").replace(file)
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks(shown)]), before)
    file.unlink()
    np.testing.assert_array_equal(rows_of(shown, slice(None)), before)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not say what is open")
def test_the_file_is_closed_with_the_last_array(file):
    def n_open():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = n_open()
    shown = opened(file)[3:]
    assert n_open() > before
    del shown
    assert n_open() == before


def test_an_array_longer_than_its_file_is_refused(file):
    with pytest.raises(ValueError, match="greater than file size"):
        map_array(file, np.dtype(">u2"), 7, (99, *SHAPE[1:]))


def test_extremes_of_a_file_are_found_once(tmp_path, monkeypatch):
    values = np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8)
    (tmp_path / "values").write_bytes(values.tobytes())
    mapped = map_array(tmp_path / "values", values.dtype, 0, values.shape)
    assert extremes(mapped) == (0, 255)
    monkeypatch.setattr(blocks_module, "blocks", None)
    assert extremes(mapped) == (0, 255)
    monkeypatch.undo()
    assert extremes(mapped[1:3]) == (64, 191), "of another view"
    assert extremes(mapped[:, 1:]) == (8, 255)
