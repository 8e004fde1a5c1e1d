"""A scan in a folder is the scan that it was made of, in bounded memory, whatever it came from."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.laws.layouts import known_scan
from tests.laws.scans import small_scan

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.acquisition.readers.folder import sha256_of
from ptycho.acquisition.writers import write
from ptycho.base.errors import DataError, OutputError
from ptycho.base.mapped import is_mapped
from ptycho.cli.main import main

SMALL = {"base.blocks.BLOCK": 3 * 32 * 32 * 4, "base.blocks.LARGE": 1, "acquisition.readers.archive.BLOCK": 5000}


@pytest.fixture(params=["small blocks", "large blocks"])
def blocks(request, monkeypatch):
    """Every array is a large one, in the first case walked a few frames at a time."""
    for name, value in SMALL.items():
        if request.param == "small blocks" or name.endswith("LARGE"):
            monkeypatch.setattr(f"ptycho.{name}", value)
    for module in ("archive", "hdf5"):
        monkeypatch.setattr(f"ptycho.acquisition.readers.{module}.LARGE", 1)


def amplitudes() -> Acquisition:
    scan = small_scan(n_dead_pixels=9)
    stored = np.sqrt(scan.patterns).astype(np.float32) / 3
    return replace(scan, patterns=stored, quantity="amplitude", count_scale=3.0, notes=("a note", "another"))


def assert_same(found: Acquisition, expected: Acquisition) -> None:
    for name in ("patterns", "positions", "probe", "mask", "object_", "labels", "indexes"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype, name
    for name in ("quantity", "count_scale", "origin", "geometry", "notes"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("make", [lambda: known_scan().acquisition(), amplitudes], ids=["counts", "amplitude"])
def test_a_folder_gives_back_what_was_written(tmp_path, blocks, make):
    write(tmp_path / "a.scan", make())
    found = read(tmp_path / "a.scan")
    assert is_mapped(found.patterns)
    assert_same(found, make())
    write(tmp_path / "back.npz", found)
    assert_same(read(tmp_path / "back.npz"), make())
    manifest = json.loads((tmp_path / "a.scan" / "manifest.json").read_text())
    for part in ("patterns", "arrays"):
        assert manifest[part]["sha256"] == sha256_of(tmp_path / "a.scan" / manifest[part]["file"])


def as_npz(path, scan):
    write(path.with_suffix(".npz"), scan)
    return path.with_suffix(".npz")


def as_compressed_npz(path, scan):
    with np.load(as_npz(path, scan)) as arrays:
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def as_npz_of_pixels(path, scan):
    with np.load(as_npz(path, scan)) as arrays:
        np.savez(path.with_suffix(".npz"), **{**arrays, "diff3d": np.moveaxis(arrays["diff3d"], 0, -1)})
    return path.with_suffix(".npz")


def as_hdf5(path, scan, **storage):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("patterns", data=scan.patterns, **storage)
        file["positions"], file["probe"] = scan.positions, scan.probe
    return path.with_suffix(".h5")


def as_npy(path, scan):
    for name in ("patterns", "positions", "probe"):
        np.save(path.parent / f"{name}.npy", getattr(scan, name))
    return path.parent / "patterns.npy"


FILES = {
    "npz": as_npz,
    "compressed npz": as_compressed_npz,
    "npz, pixels of all frames": as_npz_of_pixels,
    "contiguous HDF5": as_hdf5,
    "chunked HDF5": lambda path, scan: as_hdf5(path, scan, chunks=(3, 16, 8), compression="gzip"),
    "npy": as_npy,
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_becomes_a_folder(tmp_path, blocks, kind):
    scan = known_scan().acquisition()
    source = FILES[kind](tmp_path / "scan", scan)
    expected = read(source)
    argv = ["convert", str(source), str(tmp_path / "out.scan"), "--flip_y", "true", "--units", "px", "--quiet"]
    assert main(argv) == 0
    found = read(tmp_path / "out.scan")
    np.testing.assert_array_equal(found.patterns, np.roll(expected.patterns[:, ::-1], 1, 1))
    assert found.patterns.dtype == expected.patterns.dtype
    np.testing.assert_array_equal(found.positions, expected.positions)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".partial-")]


@pytest.mark.parametrize("kind", ["npz", "contiguous HDF5", "npy"])
def test_what_lies_ready_is_mapped_where_it_lies(tmp_path, blocks, kind):
    assert is_mapped(read(FILES[kind](tmp_path / "scan", known_scan().acquisition())).patterns)


def test_frames_paired_by_index_and_bad_values_go_through_a_file(tmp_path, blocks):
    known, scratch = known_scan(), tmp_path / "scratch"
    scratch.mkdir()
    order = np.random.default_rng(0).permutation(len(known.positions))[:-4]
    patterns = known.patterns[order].astype(np.float32)
    patterns[:, ~known.mask] = -1
    with h5py.File(tmp_path / "diffraction.h5", "w") as file:
        file["patterns"], file["indexes"], file["bad_pixels"] = patterns, order, ~known.mask
    with h5py.File(tmp_path / "product.h5", "w") as file:
        file["probe_position_y_m"], file["probe_position_x_m"] = known.metres.T
        file["probe_position_indexes"] = np.arange(len(known.positions))
        file["probe"], file["object"] = known.probe[None], known.object_[None]
        for name, value in zip("yx", known.centre, strict=True):
            file["object"].attrs[f"center_{name}_m"] = value
        file["object"].attrs["pixel_height_m"], file["object"].attrs["pixel_width_m"] = known.object_pixel
    found, expected = read(tmp_path / "diffraction.h5", scratch=scratch), read(tmp_path / "diffraction.h5")
    assert is_mapped(found.patterns)
    assert_same(found, expected)
    assert list(scratch.iterdir()) == []


def test_bad_values_in_another_order_of_bytes_go_through_a_file(tmp_path, blocks):
    known, source = known_scan(), tmp_path / "scan.npz"
    patterns = known.patterns.astype(">i4")
    write(source, replace(known.acquisition(), patterns=patterns))
    patterns[:, ~known.mask] = -1
    with np.load(source) as arrays:
        np.savez(source, **{**arrays, "diff3d": patterns, "bad_pixels": ~known.mask})
    assert_same(read(source, scratch=tmp_path), read(source))
    assert is_mapped(read(source, scratch=tmp_path).patterns)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


HARMS = {
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "found no manifest.json"),
    "manifest": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json can't be read"),
    "manifest of something else": (
        lambda folder: (folder / "manifest.json").write_text('{"format": "x"}'),
        "manifest.json can't be read",
    ),
    "later version": (
        lambda folder: (folder / "manifest.json").write_text(
            (folder / "manifest.json").read_text().replace('"version": 1', '"version": 2')
        ),
        "version 2, expected 1",
    ),
    "no patterns": (lambda folder: (folder / "patterns.npy").unlink(), "found no patterns.npy in the folder"),
    "patterns cut short": (
        lambda folder: (folder / "patterns.npy").write_bytes((folder / "patterns.npy").read_bytes()[:-1]),
        "patterns.npy can't be read",
    ),
    "more than patterns": (
        lambda folder: (folder / "patterns.npy").write_bytes((folder / "patterns.npy").read_bytes() + b"1"),
        "patterns.npy of .* bytes, expected",
    ),
    "other patterns": (
        lambda folder: np.save(folder / "patterns.npy", np.ones((3, 32, 32), np.uint16)),
        "of shape \\[3, 32, 32\\]",
    ),
    "an npz for patterns": (
        lambda folder: (folder / "patterns.npy").write_bytes((folder / "scan.npz").read_bytes()),
        "patterns.npy can't be read",
    ),
    "pipe for a manifest": (lambda folder: pipe(folder / "manifest.json"), "manifest.json is a folder, a pipe"),
    "pipe for patterns": (lambda folder: pipe(folder / "patterns.npy"), "patterns.npy is a folder, a pipe"),
    "pipe for arrays": (lambda folder: pipe(folder / "scan.npz"), "scan.npz is a folder, a pipe"),
    "no arrays": (lambda folder: (folder / "scan.npz").unlink(), "scan.npz can't be read"),
    "other arrays": (
        lambda folder: np.savez(folder / "scan.npz", xcoords=np.ones(3)),
        "not the one that manifest.json",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_folder_is_refused_in_one_line(tmp_path, harm, capsys):
    folder = tmp_path / "a.scan"
    write(folder, known_scan().acquisition())
    damage, words = HARMS[harm]
    damage(folder)
    with pytest.raises(DataError, match=words) as refused:
        read(folder)
    assert str(refused.value).startswith(str(folder))
    assert main(["inspect", str(folder)]) == 2
    assert "a.scan" in capsys.readouterr().err


def test_a_folder_is_inspected_as_a_file_is(tmp_path, capsys):
    for name in ("a.npz", "a.scan"):
        write(tmp_path / name, known_scan().acquisition())
    found = []
    for name in ("a.npz", "a.scan"):
        assert main(["inspect", str(tmp_path / name), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    for said in ("keys", "scan", "findings"):
        assert found[0][said] == found[1][said]
    assert [said["layout"] for said in found] == ["npz of PtychoPINN", "folder of PtychoPINN"]


@pytest.mark.parametrize("kind", ["npz", "contiguous HDF5", "npy"])
def test_a_source_that_is_shortened_while_it_is_converted_is_told_and_leaves_nothing(
    tmp_path, blocks, monkeypatch, capsys, kind
):
    source = FILES[kind](tmp_path / "scan", known_scan().acquisition())

    def require_shortened(scan):
        os.truncate(source, source.stat().st_size // 2)
        return []

    monkeypatch.setattr("ptycho.cli.convert.require", require_shortened)
    before = sorted(tmp_path.iterdir())
    assert main(["convert", str(source), str(tmp_path / "out.scan"), "--quiet"]) == 2
    assert f"{source} became shorter while it was read" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_replaced_unasked(tmp_path, capsys):
    scan, out = tmp_path / "scan.npz", tmp_path / "out.scan"
    write(scan, known_scan().acquisition())
    assert main(["convert", str(scan), str(out), "--quiet"]) == 0
    assert main(["convert", str(scan), str(out), "--quiet"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    write(scan, replace(known_scan().acquisition(), notes=("second",)))
    assert main(["convert", str(scan), str(out), "--overwrite", "--quiet"]) == 0
    assert read(out).notes == ("second",)
    (tmp_path / "other.scan").mkdir()
    for folder in (tmp_path / "other.scan", out):
        (folder / "mine.txt").write_text("mine")
        assert main(["convert", str(scan), str(folder), "--overwrite", "--quiet"]) == 2
        assert (folder / "mine.txt").read_text() == "mine"


def test_the_suffix_may_be_in_capitals(tmp_path):
    write(tmp_path / "scan.npz", known_scan().acquisition())
    for overwrite in ([], ["--overwrite"]):
        argv = ["convert", str(tmp_path / "scan.npz"), str(tmp_path / "OUT.SCAN"), *overwrite, "--quiet"]
        assert main(argv) == 0
    assert_same(read(tmp_path / "OUT.SCAN"), known_scan().acquisition())


def test_a_full_disk_leaves_an_earlier_folder_as_it_was(tmp_path, monkeypatch):
    write(tmp_path / "a.scan", known_scan().acquisition())
    usage = __import__("shutil").disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(OutputError) as refused:
        write(tmp_path / "a.scan", amplitudes())
    assert str(refused.value).startswith(f"{tmp_path / 'a.scan'} has 9.31e-08 GiB free; expected ")
    assert str(refused.value).count(";") == 2
    assert_same(read(tmp_path / "a.scan"), known_scan().acquisition())
    assert [path.name for path in tmp_path.iterdir()] == ["a.scan"]


WALK = """
import re, sys
from pathlib import Path
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
from ptycho.acquisition.checks import check
from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write
before = peak()
scan = read(sys.argv[1])
check(scan)
scan.counts_per_frame()
write(Path(sys.argv[2]), scan)
check(read(sys.argv[2]))
print(peak() - before, scan.patterns.nbytes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how much is resident")
def test_the_resident_set_is_bounded_whatever_is_walked(tmp_path):
    n, side = 16_000, 128
    grid = np.stack(np.divmod(np.arange(n), 200), axis=1) * 9.0 + side
    with (tmp_path / "patterns.npy").open("wb") as stream:
        header = {"descr": "<u2", "fortran_order": False, "shape": (n, side, side)}
        np.lib.format.write_array_header_1_0(stream, header)
        start = stream.tell()
        stream.write(np.full(side * side, 7, np.uint16).tobytes())
        stream.truncate(start + 2 * n * side * side)
    np.save(tmp_path / "positions.npy", grid)
    np.save(tmp_path / "probe.npy", np.ones((side, side), np.complex64))
    command = [sys.executable, "-c", WALK, str(tmp_path / "patterns.npy"), str(tmp_path / "out.scan")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    grown, stored = map(int, said)
    assert stored > 2**29 - 2**26
    assert grown < 2**28
