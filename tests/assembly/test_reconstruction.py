"""Reconstructions as files, and what they can be compared with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.laws.layouts import known_scan

from ptycho.acquisition.writers import write
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.assembly.reference import read_reconstruction, read_reference
from ptycho.base.errors import DataError, OutputError

REFINED = ("corrected_positions", "flux", "background", "variations", "variation_weights")


def made(seed=0, height=12, width=9, curves=("deviance",), refined=REFINED):
    rng = np.random.default_rng(seed)
    parts = {
        "corrected_positions": rng.normal(size=(5, 2)),
        "flux": rng.uniform(size=5).astype(np.float32),
        "background": float(rng.uniform()),
        "variations": (rng.normal(size=(3, 8, 8)) + 1j).astype(np.complex64),
        "variation_weights": rng.normal(size=(5, 3)).astype(np.float32),
    }
    return Reconstruction(
        object_=(rng.normal(size=(height, width)) + 1j * rng.normal(size=(height, width))).astype(np.complex64),
        coverage=rng.uniform(size=(height, width)).astype(np.float32),
        origin=rng.normal(size=2),
        probe=(rng.normal(size=(2, 8, 8)) + 1j).astype(np.complex64),
        positions=rng.normal(size=(5, 2)),
        history={name: rng.normal(size=3).tolist() for name in curves},
        **{name: parts[name] for name in refined},
    )


def spoil(path, **changes):
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files} | changes
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})


@given(
    st.integers(0, 99),
    st.integers(1, 20),
    st.integers(1, 20),
    st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
    st.lists(st.sampled_from(REFINED), unique=True),
)
def test_a_file_keeps_everything(tmp_path_factory, seed, height, width, curves, refined):
    path = tmp_path_factory.mktemp("kept") / "reconstruction.npz"
    found = made(seed, height, width, curves, refined)
    found.write(path)
    for back in (Reconstruction.read(path), read_reconstruction(path), read_reconstruction(path.parent)):
        for name in ("object_", "coverage", "origin", "probe", "positions"):
            stored, expected = getattr(back, name), getattr(found, name)
            np.testing.assert_array_equal(stored, expected)
            assert stored.dtype == expected.dtype
        assert back.history == found.history
        for name in REFINED:
            np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
            assert type(getattr(back, name)) is type(getattr(found, name))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "reconstruction.npz"
    made(1).write(path)
    before = path.read_bytes()

    def full(array):
        yield b"the first bytes"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ptycho.acquisition.writers.npz.npy_parts", full)
    with pytest.raises(OutputError, match="No space left"):
        made(2).write(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"coverage": None}, "missing coverage;"),
        ({"object": np.ones((2, 3, 3), np.complex64)}, "found object of shape (2, 3, 3)"),
        ({"object": np.full((12, 9), np.nan, np.complex64)}, "found NaN, infinity or too large values in object"),
        ({"object": np.ones((12, 9), int)}, "dtype int64"),
        ({"coverage": np.ones(4)}, "found coverage of shape (4,)"),
        (
            {"coverage": np.ones((3, 9))},
            "found coverage of shape (3, 9) and dtype float64; expected finite real numbers of shape (12, 9)",
        ),
    ],
)
def test_a_file_that_is_no_reconstruction(tmp_path, changes, says):
    path = tmp_path / "reconstruction.npz"
    made().write(path)
    spoil(path, **changes)
    with pytest.raises(DataError) as refusal:
        read_reconstruction(tmp_path)
    assert says in str(refusal.value)
    assert "reconstruction.npz" in str(refusal.value)


def test_a_reconstruction_is_a_reference_where_it_looked(tmp_path):
    found = made()
    found.write(tmp_path / "reconstruction.npz")
    for given_path in (tmp_path, tmp_path / "reconstruction.npz"):
        reference = read_reference(given_path)
        np.testing.assert_array_equal(reference.object_, found.object_)
        np.testing.assert_array_equal(reference.origin, found.origin)
        np.testing.assert_array_equal(reference.coverage, found.coverage)


def test_a_true_object_is_known_everywhere_from_the_origin_of_the_scan(tmp_path):
    truth = made().object_
    np.savez(tmp_path / "scan.npz", objectGuess=truth.astype(np.complex128))
    reference = read_reference(tmp_path / "scan.npz")
    np.testing.assert_array_equal(reference.object_, truth)
    assert reference.object_.dtype == np.complex64
    assert reference.origin.tolist() == [0, 0]
    assert reference.coverage is None


def test_a_scan_in_a_folder_is_a_reference_as_in_a_file(tmp_path):
    scan = known_scan().acquisition()
    for name in ("scan.npz", "a.scan"):
        write(tmp_path / name, scan)
        np.testing.assert_array_equal(read_reference(tmp_path / name).object_, scan.object_)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"image": np.ones((3, 3))}, "found keys image; expected objectGuess"),
        ({"objectGuess": np.ones((1, 3, 3), complex)}, "found objectGuess of shape (1, 3, 3)"),
        ({"objectGuess": np.full((3, 3), np.inf + 0j)}, "expected a finite complex"),
        ({"object": np.ones((3, 3), complex)}, "missing coverage, origin, probe, positions;"),
    ],
)
def test_a_file_that_is_no_reference(tmp_path, arrays, says):
    np.savez(tmp_path / "given.npz", **arrays)
    with pytest.raises(DataError) as refusal:
        read_reference(tmp_path / "given.npz")
    assert says in str(refusal.value)
    assert "given.npz" in str(refusal.value)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a folder without reconstruction\.npz"):
        read_reference(tmp_path)
