"""The live page in a browser."""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from ptycho.base.watching import Progress
from ptycho.live import board as boards
from ptycho.live.server import live_page
from tests.browser import complaints, requests

TITLE = "ptycho train <img src=x onerror=alert(1)>.npz"


def wait_for(browser, script, seconds=20):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.1).until(lambda driver: driver.execute_script(f"return {script}"))


def text(browser, name):
    return browser.execute_script(f"return document.getElementById('{name}').innerText")


def show(board, step):
    """One step of a run that nobody makes."""
    board.see(Progress("training", step, 200, "loss", 2.0 / step, "patterns", 300.0, 61.0))
    board.add("training loss", 2.0 / step)
    y, x = np.indices((90, 110))
    phase = np.sin(x / (5 + step)) * np.cos(y / 9)
    board.draw(np.exp(1j * phase).astype(np.complex64), np.ones((90, 110), np.float32))


@pytest.mark.parametrize("ending", ["finished", "interrupted", "failed"])
def test_the_page_shows_a_run_until_it_ends(browser, monkeypatch, caplog, ending):
    complaints(browser), requests(browser)
    monkeypatch.setattr(boards, "EVERY", 0.2)
    caplog.set_level("INFO", logger="ptycho")
    errors = {"finished": None, "interrupted": KeyboardInterrupt, "failed": ValueError}

    def run():
        with live_page("127.0.0.1:0", TITLE) as board:
            address = caplog.messages[-1].split()[-1]
            browser.get(address)
            wait_for(browser, "document.getElementById('outcome').textContent === 'running'")
            assert complaints(browser) == []
            show(board, 1)
            wait_for(browser, "document.getElementById('phase').naturalWidth === 110")
            first = browser.execute_script("return document.getElementById('phase').src")
            show(board, 2)
            wait_for(browser, f"document.getElementById('phase').src !== '{first}'")
            wait_for(browser, "document.querySelectorAll('#curves polyline').length === 1")
            assert text(browser, "title") == TITLE
            assert browser.execute_script("return document.images.length") == 2
            numbers = text(browser, "numbers").split("\n")
            assert numbers == ["training", "2 of 200", "loss", "1", "patterns a second", "300", "time left", "1:01"]
            assert "rad" in text(browser, "phase-caption")
            if errors[ending] is not None:
                raise errors[ending]
        return address

    if errors[ending] is None:
        run()
    else:
        with pytest.raises(errors[ending]):
            run()
    address = caplog.messages[-1].split()[-1]
    wait_for(browser, f"document.getElementById('outcome').dataset.outcome === '{ending}'")
    assert {"finished": "has ended", "interrupted": "interrupted", "failed": "an error"}[ending] in text(
        browser, "word"
    )
    # What was seen last stays to be seen.
    assert browser.execute_script("return document.getElementById('phase').naturalWidth") == 110
    assert complaints(browser) == []
    assert all(url.startswith(address) for url in requests(browser))
    # A picture that was promised and can't be had any more does not take its place.
    browser.execute_script("showPictures(99, {phase: [0, 1]})")
    wait_for(browser, "performance.getEntriesByType('resource').some(entry => entry.name.endsWith('phase.png?99'))")
    assert browser.execute_script("return document.getElementById('phase').naturalWidth") == 110


@pytest.mark.slow
def test_a_real_training_is_watched_and_interrupted(browser, tmp_path, scan_for_watching):
    """Also writes what the page looks like to live.png in the folder of the test."""
    words = ["train", scan_for_watching.name, "--output_dir", "run", "--live", "127.0.0.1:0", "--nepochs", "1000"]
    words += ["--model.lean_width", "16"]
    command = [sys.executable, "-m", "ptycho.cli.main", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        address = next(re.findall(r"http://\S+", line)[0] for line in process.stderr if "watch this run" in line)
        browser.set_window_size(1180, 1240)
        complaints(browser)  # what pages of other tests said stays theirs
        browser.get(address)
        wait_for(browser, "document.getElementById('phase').naturalWidth > 64", 60)
        first = browser.execute_script("return document.getElementById('phase').src")
        wait_for(browser, f"document.getElementById('phase').src !== '{first}'", 60)
        wait_for(browser, "[...document.querySelectorAll('polyline')].some(l => l.points.length > 9)", 300)
        browser.save_screenshot(str(tmp_path / "live.png"))
        process.send_signal(signal.SIGINT)
        wait_for(browser, "document.getElementById('outcome').dataset.outcome === 'interrupted'")
        said = process.stderr.read().strip().splitlines()
    assert said[-1].startswith("ptycho train: interrupted; go on with: ")
    assert complaints(browser) == []


@pytest.fixture
def scan_for_watching(tmp_path):
    from ptycho.cli.main import main

    assert main(["simulate", str(tmp_path / "scan.npz"), "--quiet", "--positions", "160"]) == 0
    return tmp_path / "scan.npz"
