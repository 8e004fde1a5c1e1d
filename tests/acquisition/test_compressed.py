"""Frames as detectors compress them: read with the extra ``io``, and without it an error that says so."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

hdf5plugin = pytest.importorskip("hdf5plugin")

FILTERS = {
    "bitshuffle and lz4": hdf5plugin.Bitshuffle(cname="lz4"),
    "bitshuffle and zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "blosc and zstd": hdf5plugin.Blosc(cname="zstd"),
    "lz4": hdf5plugin.LZ4(),
    "zstd": hdf5plugin.Zstd(),
}
# A process of its own, where nothing has taught HDF5 the filters yet.
READ = """
import sys
if sys.argv[2] == "without":
    sys.modules["hdf5plugin"] = None
from ptycho.acquisition.readers import read
from ptycho.base.errors import DataError
try:
    print([int(read(path).counts().sum(dtype="f8")) for path in sys.argv[3:]])
except DataError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Paths of one scan under every filter, and the counts in it."""
    folder = tmp_path_factory.mktemp("frames")
    counts = np.random.default_rng(0).poisson(3, (6, 32, 32)).astype(np.uint32)
    (folder / "positions.csv").write_text("".join(f"{y},{3 * y}\n" for y in range(6)))
    for name, compression in FILTERS.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset("entry/data/data", data=counts, chunks=(1, 32, 32), **compression)
    return [folder / f"{name}.h5" for name in FILTERS], int(counts.sum())


def read_elsewhere(how, paths):
    command = [sys.executable, "-c", READ, "-", how, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_all_filters_are_read(frames):
    paths, counts = frames
    assert read_elsewhere("with", paths) == str([counts] * len(paths))


def test_without_the_extra_the_error_names_it(frames):
    paths, _ = frames
    said = read_elsewhere("without", paths[:1])
    assert said.startswith(f"{paths[0]}: 'entry/data/data' is compressed with filter 32008")
    assert said.endswith('pip install "ptychopinn[io]"')
