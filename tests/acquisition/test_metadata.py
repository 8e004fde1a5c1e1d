"""``_metadata`` is found in what older software pickled, and nothing is unpickled for it."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from ptycho.acquisition.readers.archive import open_archive
from ptycho.acquisition.readers.metadata import LONGEST, read_metadata
from ptycho.base.errors import DataError

SAID = {"schema_version": "1.0.0", "physics_parameters": {"nphotons": 1e5}, "note": 'µ \\ "quoted" {braces}'}


class Bomb:
    """Makes a file when somebody unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def said(tmp_path):
    def read(array, **other):
        np.savez(tmp_path / "scan.npz", **({} if array is None else {"_metadata": array}), **other)
        with open_archive(tmp_path / "scan.npz") as archive:
            return read_metadata(archive)

    return read


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("dtype", [object, str])
def test_the_text_is_found_plain_and_pickled(said, dtype, ascii_only):
    text = json.dumps(SAID, ensure_ascii=ascii_only)
    assert said(np.array(text, dtype=dtype)) == SAID


def test_bytes_are_text_too(said):
    assert said(np.array(json.dumps(SAID).encode())) == SAID


def pickled_member(protocol):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "|O", "fortran_order": False, "shape": ()})
    pickle.dump(np.array(json.dumps(SAID), dtype=object), member, protocol)
    return member.getvalue()


def stored(path, member):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_metadata.npy", member)
    with open_archive(path) as archive:
        return read_metadata(archive)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle_is_read(tmp_path, protocol):
    assert stored(tmp_path / "scan.npz", pickled_member(protocol)) == SAID


@pytest.mark.parametrize("length", [-1, -40, -200])
def test_a_damaged_pickle_is_refused_in_words(tmp_path, length):
    with pytest.raises(DataError, match="damaged"):
        stored(tmp_path / "scan.npz", pickled_member(4)[:length])


def test_a_file_may_say_nothing(said):
    assert said(None, x=np.ones(2)) is None


def test_nothing_is_run(said, tmp_path):
    array = np.empty((2,), dtype=object)
    array[:] = [Bomb(tmp_path / "made"), json.dumps(SAID)]
    assert said(array) == SAID
    assert not (tmp_path / "made").exists()
    pickle.loads(pickle.dumps(array))
    assert (tmp_path / "made").exists(), "the bomb must be a live one"


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array({"a": 1}, dtype=object), "found 0 JSON objects"),
        (np.array(["{}", '{"a": 1}'], dtype=object), "found 2 JSON objects"),
        (np.array("{}" + " " * LONGEST, dtype=object), "longer than"),
        (np.array("[1]"), "found 0 JSON objects"),
        (np.array("{" * 100_000), "found 0 JSON objects"),
        (np.ones(3), "expected JSON text"),
    ],
)
def test_anything_else_is_refused_in_words(said, array, words):
    with pytest.raises(DataError, match=words):
        said(array)
