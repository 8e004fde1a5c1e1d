"""An HDF5 file may be anything: nothing outside it is opened, and what can't be read is said in one line."""

import h5py
import numpy as np
import pytest

from ptycho.acquisition.readers import hdf5, read
from ptycho.acquisition.readers.source import open_source
from ptycho.base.errors import DataError


@pytest.fixture
def source(tmp_path):
    """Write a file with ``write(file)`` and open it."""
    opened = []

    def open_(write):
        path = tmp_path / "any.h5"
        with h5py.File(path, "w") as file:
            write(file)
        context = open_source(path)
        opened.append(context)
        return context.__enter__()

    yield open_
    for context in opened:
        context.__exit__(None, None, None)


def beside(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = np.arange(3.0)
    return tmp_path / "secret.h5"


def test_arrays_text_flags_and_complex_numbers_of_matlab(source):
    halves = np.array([(1.0, 2.0)], dtype=[("real", "<f8"), ("imag", "<f8")])

    def write(file):
        file["group/a"], file["group/b"] = np.arange(3, dtype=np.uint16), np.ones(2, bool)
        file["text"], file["complex"], file["of_matlab"] = "words", np.array([1j]), halves
        file["group/a"].attrs["unit"], file.attrs["number"] = "m", 3.5
        file["there"] = h5py.SoftLink("/group/a")
        file["group/up"] = h5py.SoftLink("../group/b")
        file["all"] = h5py.SoftLink("/group")

    found = source(write)
    assert found.keys == {"group/a", "group/b", "group/up", "text", "complex", "of_matlab", "there"}
    assert found["group/a"].dtype == np.uint16
    assert found["group/b"].dtype == bool
    assert (found["text"].item(), found["complex"].item(), found["of_matlab"].item()) == ("words", 1j, 1 + 2j)
    assert found["there"].tolist() == found["all/a"].tolist() == [0, 1, 2]
    assert found["group/up"].tolist() == [True, True]
    assert (found.attribute("group/a", "unit"), found.attribute("", "number")) == ("m", 3.5)
    assert found.attribute("no", "unit") is found.attribute("", "no") is found.get("no") is None
    assert found.headers()["group/a"] == ((3,), "uint16")


def external_link(file, secret):
    file["a"] = h5py.ExternalLink(str(secret), "a")


def external_group(file, secret):
    file["group"] = h5py.ExternalLink(str(secret), "/")
    file["a"] = h5py.SoftLink("/group/a")


def virtual(file, secret):
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(secret, "a", shape=(3,))
    file.create_virtual_dataset("a", layout)


def external_storage(file, secret):
    file.create_dataset("a", (3,), "f8", external=[(str(secret), 0, 24)])


def view(file, of):
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(".", of, shape=(3,))
    file.create_virtual_dataset("a", layout)


def view_of_a_link(file, secret):
    file["'a' by link"] = h5py.ExternalLink(str(secret), "a")
    view(file, "'a' by link")


def view_of_external_storage(file, secret):
    file.create_dataset("b", (3,), "f8", external=[(str(secret), 0, 24)])
    view(file, "b")


def view_of_a_view(file, secret):
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(secret, "a", shape=(3,))
    file.create_virtual_dataset("b", layout)
    view(file, "b")


WAYS_OUT = [external_link, external_group, virtual, external_storage]


@pytest.mark.parametrize("leave", [*WAYS_OUT, view_of_a_link, view_of_external_storage, view_of_a_view])
def test_no_other_file_is_opened(source, tmp_path, leave):
    found = source(lambda file: leave(file, beside(tmp_path)))
    with pytest.raises(DataError, match=r"'a'.*(another file|other files).*not opened"):
        found["a"]


@pytest.mark.parametrize("key", ["entry/data/data", "entry/data/data_000001"])
def test_a_file_that_only_points_to_another_is_refused_with_its_name(tmp_path, key):
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["entry/title"] = "a scan"
        file[key] = h5py.ExternalLink("frames.h5", "entry/data/data")
    with pytest.raises(DataError, match=rf"master.h5: '{key}' lies in another file \(frames.h5\).*give that file"):
        read(tmp_path / "master.h5")


def test_a_view_within_the_file_is_read(source):
    def write(file):
        file["a"] = np.arange(3.0)
        layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
        layout[:] = h5py.VirtualSource(file["a"])
        file.create_virtual_dataset("b", layout)

    assert source(write)["b"].tolist() == [0, 1, 2]


def test_numbers_of_fewer_bits_than_their_bytes_are_not_mapped(source, monkeypatch):
    monkeypatch.setattr(hdf5, "LARGE", 1)
    stored = h5py.h5t.STD_U16LE.copy()
    stored.set_precision(12)
    stored.set_offset(4)
    values = np.arange(300, dtype=np.uint16)

    def write(file):
        space = h5py.h5s.create_simple(values.shape)
        h5py.h5d.create(file.id, b"a", stored, space).write(h5py.h5s.ALL, h5py.h5s.ALL, values)

    assert source(write)["a"].tolist() == values.tolist()


def circle(file):
    file["a"] = h5py.SoftLink("/b")
    file["b"] = h5py.SoftLink("/a")


def huge(file):
    file.create_dataset("a", (2**40,), "f8", chunks=(2**16,))


def hollow(file):
    file.create_dataset("a", (2**28,), "f8", chunks=(2**10,))[0] = 1.0


def references(file):
    file["x"] = 1.0
    file.create_dataset("a", data=[file["x"].ref], dtype=h5py.ref_dtype)


def empty(file):
    file["a"] = h5py.Empty("f8")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (circle, "circle of links"),
        (huge, "expected at most 64"),
        (hollow, "not written to its end"),
        (references, "expected plain numbers"),
        (empty, "is empty"),
        (lambda file: file.create_group("a"), "found keys"),
    ],
    ids=["circle", "huge", "hollow", "references", "empty", "group"],
)
def test_what_can_not_be_read_is_said(source, write, words):
    with pytest.raises(DataError, match=words) as refusal:
        source(write)["a"]
    assert "\n" not in str(refusal.value)


def test_groups_in_a_circle_end(source):
    def write(file):
        file["g/a"] = 1.0
        file["g/again"] = file["g"]
        file["g/soft"] = h5py.SoftLink("/")

    assert "g/a" in source(write).keys


def test_a_filter_that_is_not_there_names_the_extra(source, monkeypatch):
    def write(file):
        file.create_dataset("a", data=np.arange(100), compression="gzip")

    found = source(write)
    monkeypatch.setattr(hdf5.h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(DataError, match=r"filter 1 \(deflate\).*pip install \"ptychopinn\[io\]\""):
        found["a"]


def test_detector_compression_is_read_where_it_is_installed(source):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    values = np.arange(1000).reshape(10, 10, 10)
    found = source(lambda file: file.create_dataset("a", data=values, **hdf5plugin.Bitshuffle()))
    np.testing.assert_array_equal(found["a"], values)


@pytest.mark.parametrize("keep", [100, 1500])
def test_a_file_cut_short(tmp_path, keep):
    path = tmp_path / "cut.h5"
    with h5py.File(path, "w") as file:
        file["entry_1/data_1/data"] = np.ones((4, 16, 16))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cut\.h5: .*(damaged or incomplete|expected)"):
        read(path)
