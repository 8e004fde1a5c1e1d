"""Drawings of a page, as paths."""

import re

import numpy as np
import pytest

from ptycho.report.html.charts import Line, dot_chart, line_chart

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


@pytest.mark.parametrize("curve", [[2.0], [np.nan, 2.0, np.nan]])
def test_a_curve_of_one_point_is_a_dot(curve):
    long = Line("long", "tone-1", np.arange(1, 4), [3.0, 2.0, 1.0])
    one = Line("one", "tone-2", np.arange(1, len(curve) + 1), curve)
    drawn, dot = line_chart([long, one], "check", "relative error", caption="", alt="").lines
    assert (drawn.style, drawn.dot) == ("tone-1", None)
    assert dot.style == "dots tone-2", "round ends make a path without length a dot"
    assert dot.dot is not None
    assert dot.dot > 4
    assert re.fullmatch(r"M\S+ \S+h0", dot.path)
