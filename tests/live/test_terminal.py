"""The line on the terminal: it moves, and nothing of it is left; plain lines where there is no terminal."""

import io
import logging
import re

import pytest

from ptycho.base import logs
from ptycho.base.watching import Progress, Stage, Watcher, Watchers
from ptycho.live import terminal
from ptycho.live.terminal import Line, progress_line
from ptycho.live.words import duration, pace

rich_console = pytest.importorskip("rich.console", reason="needs rich: the extra torch")


def progress(done, total=20, stage="training", **known):
    known = {"value": 0.5, "rate": 300.0, "seconds_left": 75.0} | known
    return Progress(stage, done, total, "loss", unit="patterns", **known)


def screen(written):
    """What a terminal shows after ``written``: as much of one as a moving line needs."""
    rows, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\??\d*(?:;\d+)*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif part.startswith("\x1b"):
            if part.endswith("A"):
                row -= int(part[2:-1])
            elif part.endswith("K"):
                rows[row] = ""
        else:
            rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
            column += len(part)
    return [text.rstrip() for text in rows if text.strip()]


@pytest.fixture
def console():
    return rich_console.Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def test_one_line_says_everything_and_is_gone_at_the_end(console):
    with Line(console) as line:
        for done in range(21):
            line.see(progress(done))
            line._bar.refresh()
        (shown,) = screen(console.file.getvalue())
        for words in ("training", "20/20", "loss 0.5", "300 patterns/s", "1:15 left"):
            assert words in shown
        line.see(progress(3, stage="iterations"))
        line._bar.refresh()
        (shown,) = screen(console.file.getvalue())
        assert "iterations" in shown
        assert "3/20" in shown
    assert screen(console.file.getvalue()) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError])
def test_no_line_is_left_when_a_run_ends_badly(console, end):
    def run():
        with Line(console) as line:
            line.see(progress(3))
            line._bar.refresh()
            raise end

    with pytest.raises(end):
        run()
    assert screen(console.file.getvalue()) == []


def test_what_is_said_meanwhile_stands_above_the_line(console, monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    logs.configure()
    with Line(console) as line:
        line.see(progress(3))
        logging.getLogger("ptycho").warning("a frame is dark")
        line._bar.refresh()
        said, moving = screen(console.file.getvalue())
        assert said == "warning: a frame is dark"
        assert "3/20" in moving
    assert screen(console.file.getvalue()) == ["warning: a frame is dark"]


def test_without_a_terminal_a_stage_says_ten_plain_lines(monkeypatch, caplog, capsys):
    monkeypatch.setattr(terminal, "APART", 0.0)
    caplog.set_level(logging.INFO, logger="ptycho")
    with Line(rich_console.Console(file=io.StringIO(), force_terminal=False)) as line:
        for done in range(1, 1001):
            line.see(progress(done, 1000))
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == "training: 100 of 1000, loss 0.5, 300 patterns/s, 1:15 left"
    assert capsys.readouterr() == ("", "")


def test_a_short_stage_says_nothing_plainly(caplog):
    caplog.set_level(logging.INFO, logger="ptycho")
    with Line(rich_console.Console(file=io.StringIO(), force_terminal=False)) as line:
        for done in range(1, 9):
            line.see(progress(done, 8))
    assert caplog.messages == []


def test_a_line_that_is_not_shown_is_nobody():
    with progress_line(shown=False) as nobody:
        nobody.see(progress(1))
        assert not nobody.wants_picture


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0:00"), (59.6, "1:00"), (3599.4, "59:59"), (36061, "10:01:01")])
def test_a_time_is_read_as_on_a_clock(seconds, words):
    assert duration(seconds) == words


def test_what_is_not_known_is_not_said():
    assert pace(progress(0, value=None, rate=0.0, seconds_left=None)) == ""
    assert pace(progress(1, rate=2.345)) == "loss 0.5, 2.35 patterns/s, 1:15 left"


class Notes(Watcher):
    def __init__(self):
        self.seen = []

    def see(self, progress):
        self.seen.append(progress)


def test_a_stage_measures_its_pace(monkeypatch):
    clock = iter([100.0, 100.0, 104.0, 106.0])
    monkeypatch.setattr("ptycho.base.watching.time.perf_counter", lambda: next(clock))
    notes = Notes()
    stage = Stage(Watchers(notes, Watcher()), "training", 10, measure="loss", unit="patterns", begun=4)
    stage.advance(6, 32, 2.0)
    stage.advance(7, 16, 1.5)
    assert [seen.done for seen in notes.seen] == [4, 6, 7]
    assert [seen.value for seen in notes.seen] == [None, 2.0, 1.5]
    # Two steps of 32 patterns in 4 s, four steps to go; then three in 6 s and three to go.
    assert [(seen.rate, seen.seconds_left) for seen in notes.seen[1:]] == [(8.0, 8.0), (8.0, 6.0)]
    assert notes.seen[0].seconds_left is None


def test_a_stage_that_time_ends_goes_by_it(monkeypatch, caplog):
    monkeypatch.setattr(terminal, "APART", 0.0)
    monkeypatch.setattr("ptycho.base.watching.time.perf_counter", lambda: now)
    caplog.set_level(logging.INFO, logger="ptycho")
    notes, now = Notes(), 100.0
    line = Line(rich_console.Console(file=io.StringIO(), force_terminal=False))
    stage = Stage(Watchers(notes, line), "training", 50_000, measure="loss", unit="patterns", time_limit=20.0)
    for step in range(1, 42):
        now = 100.0 + 0.5 * step
        stage.advance(step, 32)
    assert [seen.total for seen in notes.seen[1:]] == [40] * 40 + [41], "as many as the time suffices for"
    assert [seen.seconds_left for seen in notes.seen[1:]] == [20 - 0.5 * step for step in range(1, 41)] + [0]
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == "training: 4 of 40, 64 patterns/s, 0:18 left"


def test_a_stage_that_time_does_not_end_goes_by_its_steps(monkeypatch):
    clock = iter([100.0, 100.0, 104.0])
    monkeypatch.setattr("ptycho.base.watching.time.perf_counter", lambda: next(clock))
    notes = Notes()
    Stage(notes, "training", 10, measure="loss", unit="patterns", time_limit=40.0).advance(2, 32)
    assert (notes.seen[-1].total, notes.seen[-1].seconds_left) == (10, 16.0)
