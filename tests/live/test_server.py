"""The live page: what it answers, whom it refuses, and that nothing is left of it."""

import http.client
import io
import json
import logging
import socket
import threading
import time
from ipaddress import ip_address

import numpy as np
import pytest

from ptycho.base.errors import ConfigError
from ptycho.base.watching import NOBODY, Progress
from ptycho.cli.starting import training_parser
from ptycho.live import board as boards
from ptycho.live import server
from ptycho.live.address import host_and_port
from ptycho.live.board import POINTS, Board
from ptycho.live.server import live_page

pytest.importorskip("matplotlib", reason="needs matplotlib: the extra report")
FREE = "127.0.0.1:0"


@pytest.fixture
def served(caplog):
    """Open a page and say where: (board, port)."""
    caplog.set_level(logging.INFO, logger="ptycho")

    def port():
        (line,) = [message for message in caplog.messages if message.startswith("watch this run at")]
        return int(line.rstrip("/").rpartition(":")[2])

    with live_page(FREE, "ptycho train <b>scan</b>.npz") as board:
        yield board, port()


def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def state(port, query=""):
    return json.loads(ask(port, f"/state.json{query}")[2])


def an_object(shape=(40, 50)):
    y, x = np.indices(shape)
    return np.exp(1j * x / 20).astype(np.complex64) * (1 + y / 80).astype(np.float32), np.ones(shape, np.float32)


def threads():
    return {thread for thread in threading.enumerate() if thread.is_alive()}


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/", "text/html; charset=utf-8", b"<!doctype html>"),
        ("/live.js", "text/javascript; charset=utf-8", b"use strict"),
        ("/live.css", "text/css; charset=utf-8", b"progress"),
        ("/style.css", "text/css; charset=utf-8", b"prefers-color-scheme: dark"),
        ("/state.json", "application/json; charset=utf-8", b"outcome"),
    ],
)
def test_the_page_and_its_parts(served, path, kind, words):
    _, port = served
    status, headers, body = ask(port, path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert words in body
    assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in body
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert ask(port, path, "HEAD")[2] == b""


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../../etc/passwd",
        "//etc/passwd",
        "/%2e%2e/server.py",
        "/server.py",
        "/amplitude.png",
        "/.png",
        "*",
    ],
)
def test_no_path_reaches_the_disk(served, path):
    _, port = served
    assert ask(port, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_can_be_changed(served, method):
    _, port = served
    assert ask(port, "/state.json", method)[0] == 501


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "a b"])
def test_a_name_that_points_here_is_refused(served, host):
    _, port = served
    status, _, body = ask(port, "/state.json", Host=host)
    assert status == 403
    assert b"scan" not in body


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:8642", "192.168.1.4:80", socket.gethostname()])
def test_a_tunnel_or_an_address_is_welcome(served, host):
    _, port = served
    assert ask(port, "/state.json", Host=host)[0] == 200


def test_the_state_says_how_far_the_run_is(served):
    board, port = served
    assert state(port) == {
        "title": "ptycho train <b>scan</b>.npz",
        "outcome": "running",
        "progress": None,
        "curves": {},
        "picture": 0,
        "limits": {},
    }
    board.see(Progress("training", 3, 20, "loss", float("nan"), "patterns", 300.0, 75.0))
    for value in (2.0, float("inf"), 1.0):
        board.add("training loss", value)
    found = state(port)
    assert found["progress"] == {
        "stage": "training",
        "done": 3,
        "total": 20,
        "measure": "loss",
        "value": None,
        "unit": "patterns",
        "rate": 300.0,
        "seconds_left": 75.0,
    }
    assert found["curves"] == {"training loss": [[1, 2.0], [2, None], [3, 1.0]]}


@pytest.mark.parametrize("n", [1, POINTS, POINTS + 1, POINTS + 2, 10 * POINTS + 7])
def test_a_long_curve_is_thinned_out_and_keeps_its_end(n):
    board = Board("run")
    for value in range(n):
        board.add("loss", float(value))
    points = board.state()["curves"]["loss"]
    assert points[-1] == (n, n - 1.0)
    assert len(points) <= POINTS + 1
    assert len(points) >= min(n, POINTS // 2)
    assert all(number == value + 1 for number, value in points)


def test_pictures_that_take_long_to_draw_come_less_often(served, monkeypatch):
    board, port = served
    slow = 0.1
    monkeypatch.setattr(boards, "draw", lambda *picture: time.sleep(slow) or draw(*picture))
    board.draw(*an_object())
    state(port)
    assert board._due - time.monotonic() > slow / boards.DRAWING - 1


def test_pictures_are_made_only_for_somebody_who_looks(served, monkeypatch):
    board, port = served
    drawn = []
    monkeypatch.setattr(boards, "draw", lambda *picture: drawn.append(picture) or draw(*picture))
    assert not board.wants_picture
    board.draw(*an_object())
    assert drawn == []
    assert state(port)["picture"] == 1
    assert len(drawn) == 1
    # Seen; the next one is wanted after a while, and only once somebody looked again.
    assert not board.wants_picture
    monkeypatch.setattr(board, "_due", 0.0)
    assert board.wants_picture
    board.draw(*an_object())
    assert not board.wants_picture
    assert len(drawn) == 1


draw = boards.draw


def test_the_pictures_are_those_of_the_object(served):
    from matplotlib.image import imread

    board, port = served
    object_, light = an_object()
    light[:5] = 0
    board.draw(object_, light)
    limits = state(port)["limits"]
    assert limits["amplitude"] == pytest.approx([np.abs(object_[5:]).min(), np.abs(object_[5:]).max()], rel=0.02)
    status, headers, body = ask(port, "/amplitude.png?1")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    pixels = imread(io.BytesIO(body))
    assert pixels.shape == (40, 50, 4)
    assert not pixels[:5, :, 3].any()
    assert (pixels[5:, :, 3] == 1).all()
    assert pixels[39, 0, 0] > pixels[5, 0, 0]
    assert ask(port, "/phase.png")[0] == 200


def test_an_object_without_light_has_no_picture(served):
    board, port = served
    board.draw(np.ones((8, 8), np.complex64), np.zeros((8, 8), np.float32))
    assert state(port)["limits"] == {}
    assert ask(port, "/phase.png")[0] == 404


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "finished"), (KeyboardInterrupt, "interrupted"), (ValueError, "failed")]
)
def test_whoever_waits_hears_at_once_how_it_ended_and_nothing_is_left(caplog, error, outcome, monkeypatch):
    monkeypatch.setattr(boards, "EVERY", 30.0)
    caplog.set_level(logging.INFO, logger="ptycho")
    before, heard = threads(), []
    try:
        with live_page(FREE, "run"):
            port = int(caplog.messages[-1].rstrip("/").rpartition(":")[2])
            viewer = threading.Thread(target=lambda: heard.append(state(port, "?wait")))
            viewer.start()
            while not any(
                thread.name.startswith("Thread") and "process_request" in thread.name for thread in threads()
            ):
                time.sleep(0.01)
            time.sleep(0.05)
            started = time.monotonic()
            if error is not None:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    viewer.join(5)
    assert heard[0]["outcome"] == outcome
    assert time.monotonic() - started < 2
    time.sleep(0.2)
    assert threads() - before == set()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
        again.listen()


def test_a_silent_viewer_does_not_hold_the_end_of_a_run(caplog, monkeypatch):
    monkeypatch.setattr(server, "CLOSING", 0.1)
    caplog.set_level(logging.INFO, logger="ptycho")
    before = threads()
    with live_page(FREE, "run"), socket.socket() as silent:
        silent.connect(("127.0.0.1", int(caplog.messages[-1].rstrip("/").rpartition(":")[2])))
        silent.sendall(b"GET / HT")
        time.sleep(0.3)
        started = time.monotonic()
        caplog.clear()
    assert time.monotonic() - started < 1
    time.sleep(0.2)
    assert threads() - before == set()


def test_the_usual_address_gives_way_and_a_chosen_one_does_not(caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="ptycho")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(ConfigError, match=r"can't listen at .*Address already in use.*choose another"),
            live_page(address, "run"),
        ):
            pass
        monkeypatch.setattr(server, "ADDRESS", address)
        with live_page(address, "run"):
            assert caplog.messages[-1].startswith("watch this run at http://127.0.0.1:")
            assert address not in caplog.messages[-1]


def test_nobody_else_can_look_where_no_address_is_chosen():
    chosen = training_parser("train", "").read(["scan.npz", "--output_dir", "run", "--quiet", "--live"]).arguments.live
    assert ip_address(host_and_port(chosen)[0]).is_loopback


def test_only_an_open_address_warns(caplog):
    caplog.set_level(logging.INFO, logger="ptycho")
    with live_page(FREE, "run"):
        pass
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    with live_page("0.0.0.0:0", "run"):
        pass
    (warned,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "anybody" in warned


@pytest.mark.parametrize(
    "address", ["scan.npz", "", ":80", "localhost", "localhost:", "localhost:99999", "a:b", "h:²", "ü:80"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match=r"expected HOST:PORT.*before --live"):
        host_and_port(address)


def test_without_an_address_nothing_is_served():
    before = threads()
    with live_page(None, "run") as watcher:
        assert watcher is NOBODY
        assert threads() == before
