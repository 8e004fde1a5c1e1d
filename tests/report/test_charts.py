"""Drawings of a page, as paths."""

import re

import numpy as np

from ptycho.report.html.charts import dot_chart

PLACES = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 20.0]])


def test_a_trail_leads_from_where_a_position_was_to_its_dot():
    moved = PLACES + np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    chart = dot_chart([("here", "tone-1", moved)], caption="", alt="", trails=(PLACES, moved))
    dots, trails = chart.lines
    ends = np.array(re.findall(r"L(\S+?) (\S+?)(?=M|$)", trails.path), float)
    here = np.array(re.findall(r"M(\S+?) (\S+?)h0", dots.path), float)
    np.testing.assert_array_equal(ends, here)
    starts = np.array(re.findall(r"M(\S+?) (\S+?)L", trails.path), float)
    assert (np.sign(ends - starts) == [[1, 0], [0, 1], [0, 0]]).all(), "x to the right, y downwards"


def test_without_corrections_there_are_no_trails():
    assert len(dot_chart([("here", "tone-1", PLACES)], caption="", alt="").lines) == 1
