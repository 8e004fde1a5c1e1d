"""The scans of the benchmark of size are scans: their patterns are those of an object, wherever it repeats itself."""

import h5py
import large
import numpy as np

from ptycho.acquisition.checks import check
from ptycho.acquisition.readers import read


def test_a_scan_of_any_size_is_that_of_one_object(tmp_path, monkeypatch):
    monkeypatch.setattr(large, "BLOCK", 100)
    large.make(tmp_path / "scan.h5", 400, 32, 6, chunked=True)
    scan = read(tmp_path / "scan.h5")
    assert not [finding for finding in check(scan) if finding.level == "refuse"]
    assert scan.n_positions == 400
    grid = scan.patterns.reshape(20, 20, 32, 32)
    np.testing.assert_array_equal(grid[16:, :4], grid[:4, :4])
    np.testing.assert_array_equal(grid[:4, 16:], grid[:4, :4])
    assert not np.array_equal(grid[1, 0], grid[0, 0])
    np.testing.assert_array_equal(np.diff(scan.positions.reshape(20, 20, 2), axis=0)[..., 0], 6)
    with h5py.File(tmp_path / "scan.h5") as file:
        assert file["patterns"].chunks is not None
