"""Reading files: what is accepted, and what a wrong file says."""

import bz2
import io
import json
import logging
import zipfile
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import archive, read
from ptycho.acquisition.writers import write_npz
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry
from ptycho.optics.probe import back_projected_probe
from ptycho.simulation.simulate import Simulation, simulate


@pytest.fixture
def file(tmp_path, arrays):
    def make(**replaced):
        path = tmp_path / "scan.npz"
        np.savez(path, **arrays(**replaced))
        return path

    return make


def test_a_documented_file(file, arrays):
    scan = read(file(objectGuess=np.ones((60, 50), complex)))
    keys = arrays()
    np.testing.assert_array_equal(scan.patterns, keys["diff3d"])
    np.testing.assert_array_equal(scan.positions, np.stack([keys["ycoords"], keys["xcoords"]], axis=1))
    assert scan.object_.shape == (60, 50)
    assert scan.quantity == "counts"


def test_diff3d_wins_over_diffraction(file, arrays):
    other = arrays()["diff3d"][::-1].copy()
    np.testing.assert_array_equal(read(file(diff3d=None, diffraction=other)).patterns, other)
    np.testing.assert_array_equal(read(file(diffraction=other)).patterns, arrays()["diff3d"])


@pytest.mark.parametrize("axes", ["n y x", "n y x 1", "y x n"])
@pytest.mark.parametrize("key", ["Y", "label"])
def test_true_patches_are_read_by_either_name(file, key, axes):
    own = np.random.default_rng(0).normal(size=(25, 32, 32, 2)).astype(np.float32).view(np.complex64)[..., 0]
    stored = {"n y x": own, "n y x 1": own[..., None], "y x n": np.moveaxis(own, 0, -1)}[axes]
    np.testing.assert_array_equal(read(file(**{key: stored})).labels, own)
    assert read(file()).labels is None


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((25, 32, 32)),
        np.ones((24, 32, 32), complex),
        np.ones((25, 16, 16), complex),
        np.full((25, 32, 32), np.nan, complex),
        np.ones(3, complex),
    ],
    ids=["real", "too few", "too small", "NaN", "no patches"],
)
def test_true_patches_that_are_none_are_left_out_and_said(file, caplog, wrong):
    assert read(file(Y=wrong)).labels is None
    assert f"true patches (Y or label) of shape {wrong.shape}" in caplog.text


def test_bad_pixels_and_mask_are_one_mask(file):
    bad, good = np.zeros((32, 32), bool), np.ones((32, 32), bool)
    bad[1, 2], good[3, 4] = True, False
    for keys, wrong in (
        ({"bad_pixels": bad}, [[1, 2]]),
        ({"mask": good}, [[3, 4]]),
        ({"bad_pixels": bad, "mask": good}, [[1, 2], [3, 4]]),
    ):
        assert np.argwhere(~read(file(**keys)).mask).tolist() == wrong


def amplitude(arrays):
    return np.random.default_rng(0).gamma(2.0, size=arrays()["diff3d"].shape).astype(np.float32)


@pytest.mark.parametrize("label", ["key", "metadata", "pickled metadata"])
def test_photons_of_a_label(file, arrays, label):
    text = json.dumps({"physics_parameters": {"nphotons": 5e4}})
    dtype = object if label.startswith("pickled") else str
    extra = {"nphotons": 5e4} if label == "key" else {"_metadata": np.array(text, dtype=dtype)}
    scan = read(file(diff3d=amplitude(arrays), **extra), nphotons=1e3)
    assert scan.counts_per_frame().mean() == pytest.approx(5e4, rel=1e-4)
    assert read(file(diff3d=amplitude(arrays)), nphotons=1e3).counts_per_frame().mean() == pytest.approx(1e3, rel=1e-4)


def test_pickled_companions_are_left_out_and_said(file, caplog):
    caplog.set_level(logging.INFO)
    scan = read(file(_metadata=np.array({"a": 1}, dtype=object), objectGuess=np.array(None, dtype=object)))
    assert scan.object_ is None
    assert "_metadata is not of the documented layout" in caplog.text
    assert "'objectGuess' holds pickled objects" in caplog.text


def test_a_probe_of_amplitudes_alone_is_warned_of(file, arrays, caplog):
    read(file())
    assert "probe" not in caplog.text
    scan = read(file(probeGuess=np.abs(arrays()["probeGuess"])))
    (said,) = scan.notes
    assert said in [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith("the probe is real")
    assert "--refine_probe" in said


def test_the_published_file_and_its_documented_twin_are_one_scan(shared_data):
    folder = shared_data / "siemens_star"
    published = read(folder / "siemens-star-small.npz.bz2")
    documented = read(folder / "siemens_star.npz")
    np.testing.assert_allclose(published.counts(), documented.counts(), rtol=1e-6)
    # The origin of positions is free; both are corner + N / 2 in a frame of their own.
    shift = published.positions - documented.positions
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-4)
    np.testing.assert_allclose(published.probe, documented.probe, rtol=1e-5, atol=1e-5)
    assert (documented.quantity, documented.count_scale) == ("amplitude", 1.0)
    assert published.quantity == "counts"


def tike_keys(n=4):
    rng = np.random.default_rng(0)
    return {
        "data": rng.poisson(5, (1, n, 16, 16)).astype(np.float32),
        "scan": rng.uniform(0, 30, (1, n, 2)).astype(np.float32),
        "probe": np.ones((1, 1, 1, 2, 16, 16), np.complex64),
    }


def test_tike_layout(tmp_path):
    keys = tike_keys()
    np.savez(tmp_path / "a.npz", **keys)
    scan = read(tmp_path / "a.npz")
    np.testing.assert_allclose(scan.positions, keys["scan"][0] + 8)
    np.testing.assert_array_equal(scan.patterns[:, 8, 8], keys["data"][0, :, 0, 0])
    assert (np.abs(scan.probe) ** 2).sum() == pytest.approx(keys["data"].sum() / 4, rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"data": np.ones((2, 4, 16, 16))}, {"scan": np.ones((1, 3, 2))}, {"probe": np.zeros((1, 1, 1, 1, 16, 16))}],
    ids=["two angles", "three positions", "no light"],
)
def test_wrong_tike_files_are_refused(tmp_path, change):
    np.savez(tmp_path / "a.npz", **tike_keys() | change)
    with pytest.raises(DataError, match="expected"):
        read(tmp_path / "a.npz")


def one_line(path):
    with pytest.raises(DataError) as refusal:
        read(path)
    message = str(refusal.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_files_and_folders(tmp_path):
    assert "not found" in one_line(tmp_path / "no.npz")
    assert "folder" in one_line(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello world", "not an npz"),
        (b"\x89HDF\r\n\x1a\n...", "HDF5"),
        (b"PK\x03\x04 no zip", "damaged"),
    ],
)
def test_files_of_another_kind(tmp_path, content, said):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    assert said in one_line(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("packed", [False, True])
def test_interrupted_downloads(file, tmp_path, share, packed):
    content = file().read_bytes()
    content = bz2.compress(content) if packed else content
    path = tmp_path / "cut.npz.bz2"
    path.write_bytes(content[: int(share * len(content))])
    assert "damaged or incomplete" in one_line(path)


def test_flipped_bytes_are_noticed(file, tmp_path):
    content = bytearray(file().read_bytes())
    content[len(content) // 3] ^= 0xFF
    path = tmp_path / "flipped.npz"
    path.write_bytes(content)
    assert "damaged" in one_line(path)


def test_missing_keys_say_what_was_found(file, arrays):
    assert "found keys diff3d, probeGuess, ycoords, missing xcoords; expected" in one_line(file(xcoords=None))
    misspelt = file(probeGuess=None, probe_guess=arrays()["probeGuess"])
    assert "ycoords, missing probeGuess (did you mean 'probe_guess'?); expected" in one_line(misspelt)


def test_a_file_without_a_probe_gets_one_from_its_patterns(file, caplog):
    scan = read(file(probeGuess=None, objectGuess=np.ones((60, 60), np.complex64)))
    assert any("it is guessed from the mean pattern" in note for note in scan.notes)
    assert "it is guessed" in caplog.text
    np.testing.assert_allclose(scan.probe, back_projected_probe(scan.totals.mean_pattern))


PARTS = {
    "positions": ("xcoords", "ycoords"),
    "the probe": ("probeGuess",),
    "positions and the probe": ("xcoords", "ycoords", "probeGuess"),
    "patterns": ("diff3d",),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_come_from_companions(file, arrays, tmp_path, part):
    whole, keys = read(file()), arrays()
    np.savez(tmp_path / "other.npz", **{key: keys.pop(key) for key in PARTS[part]})
    np.savez(tmp_path / "scan.npz", **keys)
    joined = read(tmp_path / "scan.npz", reading=Reading(companions=(tmp_path / "other.npz",)))
    for name in ("patterns", "positions", "probe"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    assert joined.notes == (f"{part} taken from other.npz",)


@pytest.mark.parametrize(("absent", "said"), [("xcoords", "patterns and no positions"), ("diff3d", "positions and no")])
def test_a_part_alone_asks_for_the_others(file, absent, said):
    message = one_line(file(**{absent: None, "ycoords" if absent == "xcoords" else absent: None}))
    assert f"found {said}" in message
    assert "--companions FILE" in message


def test_a_layout_nobody_knows(tmp_path):
    np.savez(tmp_path / "a.npz", a=1)
    assert "found keys a," in one_line(tmp_path / "a.npz")


def test_pickled_patterns_are_never_loaded(file):
    assert "pickled" in one_line(file(diff3d=np.array([{"a": 1}], dtype=object)))


def test_a_quantity_nobody_knows(file):
    assert "found quantity 'photons'" in one_line(file(quantity=np.array("photons")))


def test_values_of_a_file_are_refused_with_its_name(file, arrays):
    assert "negative" in one_line(file(diff3d=arrays()["diff3d"].astype(int) - 1))
    assert "xcoords of shape" in one_line(file(xcoords=np.zeros(3)))
    assert "one number" in one_line(file(nphotons=np.ones(2)))


@pytest.mark.parametrize(("side", "said"), [(2**20, "GiB"), (2**10, "cut short")])
def test_sizes_are_refused_before_memory_is_taken(tmp_path, arrays, side, said):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (side, side)})
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(diff3d=None))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("diff3d.npy", header.getvalue())
    assert said in one_line(path)


def npy(shape):
    """Return an array of 96 bytes in its file, with what its header says of its shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(96)


def looks(content):
    """Look at a damaged array in every way that an archive offers; a ``DataError`` is the only refusal."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a.npy", content)
    opened = archive.Archive(zipfile.ZipFile(stream), None)
    ways = (
        opened.headers,
        lambda: opened["a"],
        lambda: opened.layout("a"),
        lambda: list(islice(opened.blocks("a", 8), 99)),
    )
    for way in ways:
        try:
            way()
        except DataError as error:
            yield "\n" not in str(error)
        else:
            yield None


@pytest.mark.parametrize(
    "shape",
    ["((12, ", "(12, ), b'a': 1", "-" * 3000 + "1", "(-12,)", "(-3, -4)", "(True, 12)", f"({2**64}, 0)"],
    ids=["open", "bytes among the keys", "deep", "negative", "twice negative", "true", "long"],
)
def test_a_header_that_is_none_is_said_to_be_damage(shape):
    assert list(looks(npy(shape))) == [True] * 4
    assert list(looks(npy("(3, 4)"))) == [None] * 4


@settings(max_examples=150)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(npy("(3, 4)")) - 97), st.sampled_from(b"(){}[]'\",:-0129 \n\\#bTL\xff\x00")),
        min_size=1,
        max_size=3,
    )
)
def test_no_header_ends_in_another_error(changes):
    content = bytearray(npy("(3, 4)"))
    for at, byte in changes:
        content[at] = byte
    assert set(looks(content)) <= {True, None}


def test_what_unpacks_to_too_much_is_refused(file, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_BZ2", 1000)
    path = tmp_path / "a.npz.bz2"
    path.write_bytes(bz2.compress(file().read_bytes()))
    assert "unpacks to more than" in one_line(path)


@st.composite
def acquisitions(draw):
    n, size, modes = draw(st.integers(1, 4)), draw(st.sampled_from([4, 6])), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.uint64, np.float16, np.float32, np.float64]))
    patterns = draw(hnp.arrays(dtype, (n, size, size), elements={"min_value": 0, "max_value": 200}))
    patterns[0, 0, 0] = 1
    finite = {"allow_nan": False, "allow_infinity": False}
    coordinate = st.floats(-1e4, 1e4)
    complex64 = st.complex_numbers(max_magnitude=1e4, width=64, **finite)
    quantity = draw(st.sampled_from(["counts", "amplitude"]))
    return Acquisition(
        patterns=patterns,
        positions=draw(hnp.arrays(np.float64, (n, 2), elements=coordinate)),
        probe=draw(hnp.arrays(np.complex64, (modes, size, size), elements=complex64)),
        mask=draw(hnp.arrays(bool, (size, size))),
        quantity=quantity,
        count_scale=1.0 if quantity == "counts" else draw(st.floats(1e-3, 1e3)),
        origin=draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)),
        object_=draw(st.none() | hnp.arrays(np.complex64, (5, 7), elements=complex64)),
        labels=draw(st.none() | hnp.arrays(np.complex64, (n, size, size), elements=complex64)),
        indexes=draw(st.none() | hnp.arrays(np.int64, n)),
        geometry=draw(st.none() | geometries()),
        notes=tuple(
            draw(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), max_size=2))
        ),
    )


def geometries():
    length = st.floats(1e-12, 1e3)
    pair = st.tuples(length, length)
    maybe = st.none() | length
    return st.builds(Geometry, maybe, maybe, st.none() | pair, st.none() | pair, pair)


@given(scan=acquisitions())
def test_reading_what_was_written_gives_it_back(tmp_path_factory, scan):
    path = tmp_path_factory.mktemp("round") / "scan.npz"
    write_npz(path, scan)
    back = read(path)
    for name in ("patterns", "positions", "probe", "mask"):
        written, found = getattr(scan, name), getattr(back, name)
        assert written.dtype == found.dtype
        np.testing.assert_array_equal(found, written, err_msg=name)
    known = scan.geometry and scan.geometry.completed(scan.size)
    assert back.geometry == known
    for name in ("quantity", "count_scale", "origin", "notes"):
        assert getattr(back, name) == getattr(scan, name), name
    for name in ("object_", "labels", "indexes"):
        written, found = getattr(scan, name), getattr(back, name)
        assert (found is None) == (written is None)
        if written is not None:
            np.testing.assert_array_equal(found, written, err_msg=name)


def test_older_readers_find_their_keys(tmp_path, arrays, file):
    scan = read(file(bad_pixels=np.eye(32, dtype=bool)))
    write_npz(tmp_path / "out.npz", scan)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as out:
        assert out["nphotons"] == pytest.approx(scan.counts_per_frame().mean(), rel=1e-6)
        assert out["diff3d"].dtype == np.uint16
        assert {"xcoords_start", "ycoords_start", "scan_index", "bad_pixels"} <= set(out.files)
        assert "objectGuess" not in out.files


@pytest.mark.parametrize(("quantity", "scale"), [("counts", 1.0), ("amplitude", 3.0)])
def test_the_probe_is_what_its_file_says_in_words(tmp_path, quantity, scale):
    scan = simulate(Simulation(N=32, n_positions=2, n_modes=2), np.random.default_rng(0))
    empty = np.sqrt((np.abs(np.fft.fftshift(np.fft.fft2(scan.probe, norm="ortho"), axes=(1, 2))) ** 2).sum(axis=0))
    pattern = empty**2 if quantity == "counts" else empty / scale
    patterns = np.stack([pattern, pattern]).astype(np.float32)
    write_npz(tmp_path / "out.npz", replace(scan, patterns=patterns, quantity=quantity, count_scale=scale))
    with np.load(tmp_path / "out.npz") as out:
        probe, measured, said = out["probeGuess"], out["diff3d"][0], str(out["probe_convention"])
    assert "abs(fft2(probe * patch, norm='ortho'))**2" in said
    found = np.fft.fftshift(np.sqrt((np.abs(np.fft.fft2(probe, norm="ortho")) ** 2).sum(axis=0)))
    np.testing.assert_allclose(found, np.sqrt(measured) if quantity == "counts" else measured, rtol=1e-3, atol=1e-3)
