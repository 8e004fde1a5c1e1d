import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.report.tables import text_table

words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(words, st.floats(-1e300, 1e300), st.integers()), min_size=1, max_size=6))
def test_columns_line_up_and_nothing_is_lost(rows):
    lines = text_table(["what", "PSNR", "n"], rows).splitlines()
    assert len(lines) == len(rows) + 2
    bars = lines[1]
    assert max(len(line) for line in lines) == len(bars)
    for line, (word, value, count) in zip(lines[2:], rows, strict=True):
        found_word, found_value, found_count = line.split()
        assert found_word == word
        assert float(found_value) == pytest.approx(value, rel=1e-3)
        assert int(found_count) == count
        assert line.startswith(word)
        assert len(line) == len(bars), "numbers end at the right edge"


def test_nothing_is_a_dash_and_keeps_numbers_to_the_right():
    lines = text_table(["a", "value"], [["x", None], ["y", 1.5]]).splitlines()
    assert lines[2] == "x      -"
    assert lines[3] == "y  1.500"


def test_a_table_without_rows_has_its_headers():
    assert text_table(["a", "bc"], []).splitlines() == ["a  bc", "-  --"]


def test_rows_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match=r"rows of \[1\] cells for 2 headers"):
        text_table(["a", "b"], [["x"]])
