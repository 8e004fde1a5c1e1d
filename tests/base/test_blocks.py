"""Arrays that are walked stay what they are."""

import numpy as np

from ptycho.base import blocks


def test_what_was_written_into_a_map_but_not_its_file_stays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((40, 1000)))
    for mode in ("c", "r+"):
        mapped = np.load(tmp_path / "a.npy", mmap_mode=mode)
        mapped[:] = 7
        assert blocks.extremes(mapped) == (7, 7)
        assert (mapped == 7).all()


def test_parts_of_another_order_of_bytes_keep_their_values(tmp_path):
    values = np.arange(6).reshape(3, 2)
    found = blocks.in_file(tmp_path, (row.astype("<i4") for row in values), (3, 2), np.dtype(">i4"))
    np.testing.assert_array_equal(found, values)
