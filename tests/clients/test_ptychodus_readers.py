"""Ptychodus reads the same files with its own readers: patterns and positions in metres agree."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ptycho.acquisition.readers import read
from tests.clients.ptychodus_batch import started
from tests.laws.beamlines import BEAMLINES
from tests.laws.layouts import known_scan

pytest.importorskip("ptychodus")

CHILD = Path(__file__).with_name("ptychodus_readers.py")
# Layout -> the readers of patterns and of positions in Ptychodus, and the file of the positions where it is another.
PLUGINS = {
    "SLAC": ("SLAC_NPZ", "SLAC_NPZ", None),
    "SLAC, metres": ("SLAC_NPZ", "SLAC_NPZ", None),
    "fold_slice": ("fold_slice", "fold_slice", "scan_para.hdf5"),
    "fold_slice, reconstruction of MATLAB 5": ("fold_slice", "fold_slice_mat", "found.mat"),
    "NSLS-II, style 1": ("NSLS_II_1", "NSLS_II_1", None),
    "NSLS-II, style 2, amplitude": ("NSLS_II_2", "NSLS_II_2", None),
    "NSLS-II, MATLAB": ("NSLS_II_MATLAB", "NSLS_II_MATLAB", None),
    "npy and csv": ("NPY", "CSV", "positions.csv"),
    "npy and txt": ("NPY", "TXT", "positions.txt"),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Every layout -> what we read, and what Ptychodus reads: patterns and positions (y, x) in m."""
    folder, scans, orders = tmp_path_factory.mktemp("both"), {}, []
    for name, (patterns, positions, other) in PLUGINS.items():
        (folder / name).mkdir()
        written = BEAMLINES[name](folder / name, known_scan())
        scans[name] = read(written.path, reading=written.reading)
        orders += [
            (name, "patterns", patterns, str(written.path)),
            (name, "positions", positions, str(written.path.with_name(other or written.path.name))),
        ]
    (folder / "orders.json").write_text(json.dumps(orders))
    done = started(sys.executable, CHILD, folder / "orders.json", folder / "found.npz", cwd=folder)
    assert done.returncode == 0, done.stdout
    with np.load(folder / "found.npz") as found:
        return {name: (scans[name], found[f"{name}/patterns"], found[f"{name}/positions"]) for name in PLUGINS}


@pytest.mark.parametrize("layout", PLUGINS)
def test_patterns_and_positions_agree(both, layout):
    scan, patterns, metres = both[layout]
    np.testing.assert_array_equal(scan.patterns, patterns)
    ours = scan.positions * scan.geometry.object_pixel
    shift = ours - metres
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-14)
    assert np.ptp(metres, axis=0).min() > 1e-7
