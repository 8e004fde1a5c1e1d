"""Take the manual's pictures of the pages: ``python docs/screenshots.py`` from the repository root, in a few minutes.

Simulates, trains and reconstructs in a temporary folder, opens the pages in headless Chromium and writes
``docs/images/report*.png`` and ``docs/images/comparison.png``. ``docs/images/live.png`` is what
``pytest -m slow tests/live/test_page.py --basetemp=FOLDER`` leaves as ``live.png``, where Chromium is installed.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402
from tests.browser import chromium  # noqa: E402

from ptycho.cli.main import main  # noqa: E402

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1180, 980
COLOURS = 256
ZOOM = """const window_ = document.querySelector(".window"), box = window_.getBoundingClientRect();
window_.dispatchEvent(new WheelEvent("wheel", {deltaY: -450, clientX: box.left + 0.45 * box.width,
    clientY: box.top + 0.45 * box.height, cancelable: true}));
window_.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 0.5 * box.width,
    clientY: box.top + 0.4 * box.height}))"""


def results(folder: Path) -> tuple[Path, Path]:
    """Return the pages of a reconstruction and of a comparison of it with the network alone."""
    verbs = [
        ["simulate", "scan.npz", "--positions", "256", "--photons", "1e6", "--modes", "2"],
        ["train", "scan.npz", "--output_dir", "run", "--nepochs", "3"],
        ["reconstruct", "run", "scan.npz", "--output_dir", "refined", "--refine", "30"],
        ["reconstruct", "run", "scan.npz", "--output_dir", "network"],
        ["compare", "network", "refined", "--html", "comparison.html"],
    ]
    # The pages show the names of files as they were given.
    with contextlib.chdir(folder):
        for verb in verbs:
            if main(verb):
                raise SystemExit(f"failed: ptycho {' '.join(verb)}")
    return folder / "refined" / "report.html", folder / "comparison.html"


def take(browser: "Chrome", name: str) -> None:
    """Write what the browser shows, in a few colours."""
    shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    shown.quantize(COLOURS).save(IMAGES / name, optimize=True)


def take_all(report: Path, comparison: Path, profile: Path) -> None:
    """Take the report from the top, zoomed and in the dark, and the comparison."""
    with chromium(profile) as browser:
        browser.set_window_size(WIDTH, HEIGHT)
        browser.get(report.as_uri())
        take(browser, "report.png")
        browser.execute_script(ZOOM)
        take(browser, "report_zoomed.png")
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        browser.get(report.as_uri())
        browser.execute_script("document.querySelector('#trust').scrollIntoView()")
        take(browser, "report_dark.png")
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.get(comparison.as_uri())
        take(browser, "comparison.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        take_all(*results(Path(name)), Path(name) / "profile")
