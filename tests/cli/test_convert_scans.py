"""``ptycho convert`` of scans: any layout in, three layouts out, and one line that says what was made of it."""

import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write_npz
from ptycho.cli.main import main
from tests.laws.layouts import N, Written, in_cxi_of_a_moving_probe, in_ptychodus_files, is_the_known_scan, known_scan


def convert(*argv):
    return main(["convert", *map(str, argv)])


@pytest.mark.parametrize("name", ["scan.npz", "scan.cxi", "product.h5"])
def test_a_scan_goes_out_and_comes_back(tmp_path, capsys, name):
    """Whatever it is written as, reading it gives the scan, and the one line says layout, unit, sign and guesses."""
    written = in_ptychodus_files(tmp_path, known_scan())
    out = tmp_path / "out" / name
    assert convert(written.path, out, "--quiet") == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    for words in (
        "diffraction of Ptychodus",
        "counts: ",
        "nm (y, x)",
        "the probe taken from product.h5",
        f"wrote {out}",
    ):
        assert words in said
    assert ("metres" if name != "scan.npz" else "in px") in said
    found = read(out)
    is_the_known_scan(found, Written(out, "", order=written.order))
    np.testing.assert_allclose(found.probe, read(written.path).probe, rtol=1e-5)


def test_what_the_file_can_not_say_is_said_by_flags(tmp_path, capsys):
    written = in_cxi_of_a_moving_probe(tmp_path, known_scan())
    out = tmp_path / "scan.npz"
    flags = ["--translation", "probe", "--energy", "8800", "--config", tmp_path / "beamline.yaml"]
    (tmp_path / "beamline.yaml").write_text("distance: 1.7\n")
    assert convert(written.path, out, "--quiet", *flags) == 0
    assert "taken for that of the probe" in capsys.readouterr().out
    is_the_known_scan(read(out), written)


def test_turned_patterns_come_back_right(tmp_path):
    """A detector that is read out mirrored and on its side: the flags that say so give the scan."""
    scan, mirrored = known_scan().acquisition(), -np.arange(N) % N  # index N // 2 stays
    turned = {name: getattr(scan, name)[..., mirrored].swapaxes(-1, -2) for name in ("patterns", "mask", "probe")}
    write_npz(tmp_path / "turned.npz", replace(scan, **{name: np.ascontiguousarray(a) for name, a in turned.items()}))
    # Columns mirrored, then rows and columns exchanged, is undone by rows mirrored, then exchanged.
    back = ["--flip_y", "true", "--transpose", "true"]
    assert convert(tmp_path / "turned.npz", tmp_path / "out.npz", "--quiet", *back) == 0
    is_the_known_scan(read(tmp_path / "out.npz"), Written(tmp_path / "out.npz", ""))


def test_frames_and_positions_without_a_partner_are_left_out_and_counted(tmp_path, capsys):
    written = in_ptychodus_files(tmp_path, known_scan())
    with h5py.File(written.path, "r+") as file:
        indexes = file["indexes"][()]
        indexes[:3] += 1000
        file["indexes"][...] = indexes
    assert convert(written.path, tmp_path / "scan.npz", "--quiet") == 0
    assert "37 frames paired with positions by index; left out without a partner: 3 frames, 3 positions" in (
        capsys.readouterr().out
    )
    found, known = read(tmp_path / "scan.npz"), known_scan()
    assert found.indexes.tolist() == indexes[3:].tolist()
    np.testing.assert_array_equal(found.patterns, known.patterns[indexes[3:] - 100])
    np.testing.assert_allclose(found.positions, known.positions[indexes[3:] - 100])


def test_a_pipe_is_not_replaced_by_a_file(tmp_path, refused, scan_file):
    os.mkfifo(tmp_path / "out.npz")
    refused(["convert", scan_file, tmp_path / "out.npz", "--overwrite"], "is a pipe or a device", "another name")
    assert (tmp_path / "out.npz").is_fifo()


def test_scans_that_can_not_be_converted(tmp_path, refused, scan_file):
    (tmp_path / "in").mkdir()
    written = in_ptychodus_files(tmp_path / "in", known_scan())
    lengths = ["--energy NUMBER", "--distance NUMBER", "--detector_pixel NUMBER", "expected energy"]
    refused(["convert", scan_file, tmp_path / "out.cxi"], "ptycho convert SCAN SCAN.npz", *lengths)
    refused(["convert", scan_file, tmp_path / "out.h5"], *lengths)
    refused(["convert", written.path, tmp_path / "out.tif"], "ends in '.tif'", ".npz, .scan, .cxi or .h5")
    refused(["convert", written.path, tmp_path / "out"], "has no suffix", ".npz, .scan, .cxi or .h5")
    refused(["convert", written.path, tmp_path / "diffraction.h5"], "name the product")
    refused(
        ["convert", written.path, tmp_path / "out.npz", "--scan", scan_file], "for trained weights", "leave them out"
    )
    (tmp_path / "diffraction.h5").write_text("precious")
    refused(["convert", written.path, tmp_path / "product.h5"], "holds diffraction.h5 already", "--overwrite")
    (tmp_path / "in" / "product.h5").unlink()
    refused(["convert", written.path, tmp_path / "out.npz"], "found patterns and no positions", "--companions FILE")
    refused(["convert", scan_file, tmp_path / "out.npz", "--energy", "-3"], "energy is -3", "above 0")
