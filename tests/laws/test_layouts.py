"""Every reader gives the scan that was written, and what is turned, mirrored or swapped is not that scan."""

from dataclasses import replace

import numpy as np
import pytest

from ptycho.acquisition import readers
from ptycho.acquisition.readers import identify, read
from tests.laws.beamlines import BEAMLINES
from tests.laws.layouts import LAYOUTS, deviance, in_cxi, in_ptychodus_files, is_the_known_scan, known_scan

TURNED = {
    "y and x of the positions swapped": lambda a: replace(a, positions=np.ascontiguousarray(a.positions[:, ::-1])),
    "rows of the positions upside down": lambda a: replace(a, positions=a.positions * [-1, 1]),
    "columns of the positions mirrored": lambda a: replace(a, positions=a.positions * [1, -1]),
    "positions of the sample for those of the probe": lambda a: replace(a, positions=-a.positions),
    "patterns transposed": lambda a: replace(a, patterns=a.patterns.swapaxes(1, 2)),
    "patterns upside down": lambda a: replace(a, patterns=np.roll(a.patterns[:, ::-1], 1, 1)),
    "frames in another order": lambda a: replace(a, patterns=np.roll(a.patterns, 1, 0)),
    "mask transposed": lambda a: replace(a, mask=a.mask.T),
    "mask upside down": lambda a: replace(a, mask=a.mask[::-1]),
    "probe transposed": lambda a: replace(a, probe=a.probe.swapaxes(1, 2)),
    "probe mirrored": lambda a: replace(a, probe=np.roll(a.probe[:, :, ::-1], 1, 2)),
    "lengths swapped": lambda a: replace(
        a, geometry=replace(a.geometry, detector_pixel=a.geometry.detector_pixel[::-1])
    ),
}


EVERY = LAYOUTS | BEAMLINES


@pytest.mark.parametrize("layout", EVERY)
def test_a_reader_gives_the_scan_that_was_written(tmp_path, layout):
    written = EVERY[layout](tmp_path, known_scan())
    assert identify(written.path).name == written.layout
    is_the_known_scan(read(written.path, reading=written.reading), written)


def test_no_layout_is_without_a_case(tmp_path):
    written = {write(tmp_path, known_scan()).layout for write in EVERY.values()}
    assert written == {layout.name for layout in readers.LAYOUTS}


@pytest.mark.parametrize("turn", TURNED)
def test_the_law_sees_what_is_turned(tmp_path, turn):
    written = in_cxi(tmp_path, known_scan())
    found = read(written.path)
    is_the_known_scan(found, written)
    with pytest.raises(AssertionError):
        is_the_known_scan(TURNED[turn](found), written)


@pytest.mark.parametrize("turn", [turn for turn in TURNED if "positions" in turn])
def test_the_physics_sees_how_positions_lie(tmp_path, turn):
    """The true object explains the counts at the positions of the reader, and at no others."""
    found = read(in_ptychodus_files(tmp_path, known_scan()).path)
    assert 0.9 < deviance(found, np.zeros(2)) < 1.1
    turned = TURNED[turn](found)
    middle = (turned.positions - found.positions).mean(axis=0)
    assert deviance(turned, middle) > 10
