"""What is refused by name: each file that means harm, and what it is told."""

import bz2
import io
import os
import re
import stat
import struct
import subprocess
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pytest

from ptycho.acquisition.readers import read
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base import hdf5_child, hdf5_trial
from ptycho.base.errors import BundleError, ConfigError, DataError
from ptycho.base.printable import printable
from ptycho.config.files import load_yaml_config
from ptycho_torch.persistence.migrate import read_archive
from tests.fuzz.seeds import scans


def npz_with(path, name, content=b"", method=zipfile.ZIP_STORED, attributes=0):
    path.write_bytes(scans()[0]["scan.npz"])
    info = zipfile.ZipInfo(name)
    info.external_attr = attributes
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")  # a member of the same name is there
        archive.writestr(info, content, method)
    return path


MEMBERS = {
    "twice": ({"name": "diff3d.npy"}, "holds 'diff3d.npy' twice"),
    "leads out": ({"name": "../../a.npy"}, "a path that leads out of the archive"),
    "absolute": ({"name": "/etc/a.npy"}, "a path that leads out of the archive"),
    "of Windows": ({"name": "C:\\a.npy"}, "a path that leads out of the archive"),
    "link": ({"name": "a.npy", "content": b"/etc/passwd", "attributes": stat.S_IFLNK << 16}, "a symbolic link"),
    "lzma": ({"name": "a.npy", "content": b"a", "method": zipfile.ZIP_LZMA}, "packed by method 14"),
}


@pytest.mark.parametrize("member", MEMBERS)
def test_archives_that_mean_harm(member, tmp_path):
    choices, says = MEMBERS[member]
    path = npz_with(tmp_path / "wts.h5.zip", **choices)
    with pytest.raises(DataError, match=re.escape(says)):
        read(path)
    with pytest.raises(BundleError, match=re.escape(says)):
        read_archive(path)


def test_a_member_that_says_it_unpacks_to_more_than_it_can(tmp_path):
    path = npz_with(tmp_path / "a.npz", "a.npy", b"0" * 100)
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"would unpack to {2**31} bytes from 100, expected no zip bomb"):
        read(path)


def test_a_bomb_in_bz2(tmp_path):
    path = tmp_path / "a.npz.bz2"
    path.write_bytes(bz2.compress(bytes(2**27)))
    with pytest.raises(DataError, match=rf"unpacks to more than {2**26} bytes from \d+"):
        read(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "scan.npz")
    with pytest.raises(DataError, match="found a pipe or a device"):
        Reconstruction.read(tmp_path / "scan.npz")
    with pytest.raises(DataError, match="found a pipe or a device"):
        read(tmp_path / "scan.npz")
    with pytest.raises(ConfigError, match="is no regular file"):
        load_yaml_config(tmp_path / "scan.npz")


TEXTS = {
    "a: &a [1]\nb: *a": "line 2, column 4: alias *a",
    "a: !!python/name:os.system": "tag tag:yaml.org,2002:python/name:os.system",
    "a: !!int x": "tag tag:yaml.org,2002:int",
    "model:\n  N: 32\n  N: 64": "line 3, column 3: N for the second time",
    "[" * 5000: "nested too deep",
    "a: " + "9" * 5000: "a number or date can't be",
    "a: 2026-99-99": "a number or date can't be",
    "# " + "a" * 2**18: "is longer than 262144 bytes",
}


@pytest.mark.parametrize("text", TEXTS, ids=list(map(str, range(len(TEXTS)))))
def test_yaml_that_is_short_to_write_and_long_to_read(text, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(TEXTS[text])):
        load_yaml_config(tmp_path / "a.yaml")


def endless(raw):
    """Let the list of a group's members follow upon itself: HDF5 2.0 never ends reading it."""
    at = [found.start() for found in re.finditer(b"TREE", raw)][-1]
    return raw[: at + 16] + struct.pack("<Q", at) + raw[at + 24 :]


@pytest.fixture
def groups():
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name in "abc":
            file.create_group(name)
    return stream.getvalue()


def test_an_hdf5_file_that_never_ends_is_refused(groups, tmp_path):
    hdf5_trial.try_bytes(groups)
    (tmp_path / "a.h5").write_bytes(endless(groups))
    with pytest.raises(DataError, match=r"a\.h5: the HDF5 library failed on it"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize("end", ["os.abort()", "time.sleep(60)"])
def test_a_child_that_dies_or_hangs_is_a_refusal(end, groups, tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text(f"import os, time\n{end}")
    monkeypatch.setattr(hdf5_trial, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr(hdf5_trial, "PATIENCE", 1.0)
    with pytest.raises(DataError, match="the HDF5 library failed on it"):
        hdf5_trial.try_bytes(groups)


def test_many_objects_may_take_longer_than_one(tmp_path):
    """The processor's time is limited for each object: here to 1 s at least and 2 s at most, and all take more."""
    source = tmp_path / "a.h5"
    with h5py.File(source, "w") as file:
        for name in "abcdefgh":
            file.create_group(name)
    busy = """
import sys, time
from ptycho.base import hdf5_child
def look(group, name, groups, seen, room):
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    print(name, end="", flush=True)
    return 0
hdf5_child.SECONDS, hdf5_child._look = 1, look
hdf5_child.look_over(sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", busy, source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "abcdefgh")


def test_large_pieces_are_left_to_the_reader(tmp_path):
    """An entry of one frame costs all that is packed with it."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (100, 6, 6), "u2", chunks=(10, 4, 4), compression="gzip")
        ends = 2 * 10 * 8 * 8 * 2
        assert hdf5_child._read(data, ends) == ends
        assert hdf5_child._read(data, ends - 1) == 0
        assert hdf5_child._read(data, data.nbytes) == data.nbytes


@pytest.mark.parametrize("python", [None, "", "/nowhere/python"])
def test_without_a_python_to_try_it_nothing_is_read(python, groups, monkeypatch):
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(DataError, match=r"expected .* in sys\.executable"):
        hdf5_trial.try_bytes(groups)


def test_names_from_files_reach_a_terminal_as_text(tmp_path):
    path = tmp_path / "scan\x1b[31m\u202e<b>\n.npz"
    np.savez(path, **{"\x1b]0;title\x07": np.zeros(3), "a\nb": np.zeros(3)})
    run = subprocess.run(
        [sys.executable, "-m", "ptycho.cli.main", "inspect", path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert run.stderr[:-1].isprintable()
    assert all(line.isprintable() for line in run.stdout.split("\n"))


def test_long_and_unprintable_text_becomes_one_short_line():
    assert printable("plain Å") == "plain Å"
    assert printable("a\nb\x1b\u202e\ud800") == "a\\nb\\x1b\\u202e\\ud800"
    assert printable("a" * 99 + "b", longest=25) == "a" * 10 + " ... " + "a" * 9 + "b"
    assert str(DataError("x" * 9999 + "\x00")).isprintable()
