"""The pages in a browser that can reach nothing."""

import dataclasses
import re

import numpy as np
import pytest
from tests.browser import complaints, requests

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.metrics.agreement import Agreement
from ptycho.metrics.frc import fourier_ring_correlation
from ptycho.metrics.limit import Limit
from ptycho.metrics.self_check import SelfCheck, WorstFrames
from ptycho.metrics.summary import compare
from ptycho.optics.geometry import Geometry
from ptycho.report.html import render
from ptycho.report.html.comparison import save_comparison_page
from ptycho.report.html.maps import averaged, pixel_map
from ptycho.report.html.report import Report, frc_chart, save_report
from ptycho.simulation.simulate import Simulation, simulate

pytest.importorskip("jinja2")
HOSTILE = "</script><script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">&.npz"
FACTS = {
    "data": f"/scans/{HOSTILE}", "deviance": 1.02, "held_out_deviance": 1.1, "r_factor": 0.2, "iterations": 3,
    "n_positions": 60, "origin": "counts", "device": "cpu", "machine": "a machine", "finished": "some day",
    "seconds": {"refine": 1.5}, "versions": {"ptychopinn": "1"}, "commands": {"reconstruct": f"ptycho '{HOSTILE}'"},
    "settings": {"model": {"N": 32}, "output_dir": HOSTILE, "nothing": None}, "self_check": {"seconds": 0.5},
    "network_kept": False, "network_weight": 0.0, "stopped_early": False, "field": None,
    "refined": {"position_correction": None, "flux": None, "background": None, "probe_variation": None},
}  # fmt: skip


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=32, n_positions=60), np.random.default_rng(0))


@pytest.fixture(scope="module")
def result(scan):
    height, width = scan.object_.shape
    coverage = np.ones((height, width), np.float32)
    coverage[:10] = 0
    history = {"deviance": [3.0, 1.5, 1.0], "held_out_deviance": [3.1, 1.6, 1.2]}
    return Reconstruction(scan.object_, coverage, np.array([-5.0, 7.0]), scan.probe, scan.positions, history)


@pytest.fixture(scope="module")
def check(scan, result):
    rng = np.random.default_rng(1)
    image = result.object_[10:, 10:]
    frc = fourier_ring_correlation(image + 0.1 * rng.normal(size=image.shape), image)
    deviation = rng.uniform(0.01, 0.02, result.object_.shape)
    z = rng.normal(size=60)
    worst = np.argsort(z)[::-1][:6]
    counts = scan.counts(worst)
    agreement = Agreement(frc, deviation + 0j, deviation > 0, 0.9 * frc.correlation, frc.correlation)
    ssnr = np.ones_like(frc.frequency)
    limit = Limit(40.0, 30.0, frc.frequency, ssnr, (1 + 1 / ssnr) ** -0.5, deviation, deviation, 2)
    frames = (1 + 0.1 * z**2, np.ones(60), z, 60 * 32**2, 9000, None, WorstFrames(worst, counts, counts))
    return SelfCheck(agreement, limit, deviation, 2 * deviation, deviation, *frames, 0.5)


@pytest.fixture(scope="module")
def page(scan, result, check, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report <b>#1.html"
    metres = dataclasses.replace(scan, geometry=Geometry(object_pixel=(2e-8, 2e-8)))
    save_report(path, Report(metres, result, check, FACTS, {"train_loss": [3.0, 2.0]}))
    return path


def opened(browser, path):
    complaints(browser), requests(browser)
    browser.get(path.as_uri())
    return browser


def transforms(browser, row=0):
    script = "return [...document.querySelectorAll('.linked')[arguments[0]].querySelectorAll('.layer')]"
    return browser.execute_script(f"{script}.map((layer) => layer.style.transform)", row)


def wheel(browser, window, delta):
    script = """const box = arguments[0].getBoundingClientRect(); arguments[0].dispatchEvent(new WheelEvent("wheel",
    {deltaY: arguments[1], clientX: box.left + box.width / 4, clientY: box.top + box.height / 4, cancelable: true}))"""
    browser.execute_script(script, window, delta)


def test_the_page_asks_nobody_and_complains_of_nothing(browser, page):
    opened(browser, page)
    assert complaints(browser) == []
    assert requests(browser) == [page.as_uri()]
    assert not re.search(r'(src|href)="(?!data:)', page.read_text())


def test_zoom_moves_all_pictures_of_a_row_and_a_double_click_brings_them_back(browser, page):
    from selenium.webdriver import ActionChains

    opened(browser, page)
    window = browser.find_elements("css selector", ".window")[1]
    start, others = transforms(browser), transforms(browser, 1)
    wheel(browser, window, -300)
    zoomed = transforms(browser)
    assert len(zoomed) == 2
    assert zoomed[0] == zoomed[1] != start[0]
    assert "scale(2.718" in zoomed[0]
    assert others
    assert transforms(browser, 1) == others, "the other row stays"
    ActionChains(browser).move_to_element(window).click_and_hold().move_by_offset(-40, -20).release().perform()
    dragged = transforms(browser)
    assert dragged[0] == dragged[1] != zoomed[0]
    ActionChains(browser).double_click(window).perform()
    assert transforms(browser) == start
    window.send_keys("+")
    assert "scale(1.5" in transforms(browser)[0]
    window.send_keys("0")
    assert transforms(browser) == start
    assert complaints(browser) == []


def test_the_pointer_reads_the_value_of_the_pixel_below_it(browser, page, result):
    opened(browser, page)
    window = browser.find_elements("css selector", ".window")[0]
    wheel(browser, window, -300)
    script = """const [window_, x, y] = arguments, box = window_.getBoundingClientRect();
    window_.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + x * box.width,
        clientY: box.top + y * box.height})); return [box.width, box.height]"""
    browser.execute_script(script, window, 0.5, 0.5)
    words = [output.text for output in browser.find_elements("css selector", "output")][:2]
    value, unit_x, y = re.fullmatch(r"(\S+) at x (\S+), y (\S+) px", words[0]).groups()
    # What lies at a quarter stays there under the wheel; the middle lies e times nearer to it than before.
    height, width = result.object_[10:].shape
    quarter = 0.25 + 0.25 / np.e
    row, column = int(quarter * height), int(quarter * width)
    assert (float(unit_x), float(y)) == (7 + column, -5 + 10 + row)
    pixel = result.object_[10 + row, column]
    assert float(value) == pytest.approx(abs(pixel), abs=2e-4)
    mean = result.object_[12:-2, 2:-2].sum()
    assert float(words[1].split()[0]) == pytest.approx(np.angle(pixel * np.conj(mean)), abs=5e-4)
    assert words[1].split()[1] == "rad"


def test_the_scale_bar_is_as_long_as_it_says(browser, page, result):
    opened(browser, page)
    width = result.object_.shape[1]
    bar = browser.find_elements("css selector", ".scale-bar")[0]
    window = browser.find_elements("css selector", ".window")[0]
    for _ in range(2):
        number, unit = bar.text.split()
        metres = float(number) * {"nm": 1e-9, "µm": 1e-6}[unit]
        shown = bar.rect["width"] / window.rect["width"] * width * 2e-8
        scale = browser.execute_script("return new DOMMatrix(getComputedStyle(arguments[0]).transform).a",
                                       window.find_element("css selector", ".layer"))  # fmt: skip
        assert shown / scale == pytest.approx(metres, rel=0.02)
        wheel(browser, window, -500)


def test_hostile_names_are_shown_and_not_obeyed(browser, page):
    opened(browser, page)
    assert browser.title == f"Reconstruction of {HOSTILE.rsplit('/', 1)[1]}"
    assert HOSTILE in browser.find_element("css selector", "pre").text
    assert HOSTILE.rsplit("/", 1)[1] in browser.find_element("css selector", "h1").text


def test_a_broken_script_is_noticed(browser, page, monkeypatch, tmp_path, scan, result, check):
    asset = render._asset
    monkeypatch.setattr(render, "_asset", lambda name: asset(name).replace("this.reset();", "this.rest();", 1))
    save_report(tmp_path / "broken.html", Report(scan, result, check, FACTS, {}))
    opened(browser, tmp_path / "broken.html")
    assert any("rest is not a function" in line for line in complaints(browser))


def test_a_scan_without_halves_metres_or_training_has_a_page_too(browser, tmp_path, scan, result, check):
    bare = dataclasses.replace(check, agreement=None, limit=None)
    facts = FACTS | {"held_out_deviance": None, "commands": {}}
    quiet = dataclasses.replace(result, history={})
    save_report(tmp_path / "bare.html", Report(scan, quiet, bare, facts, {}))
    opened(browser, tmp_path / "bare.html")
    assert complaints(browser) == []
    assert "too small for two halves" in browser.find_element("css selector", "main").text
    assert browser.find_element("css selector", ".scale-bar").text.endswith("px")


def test_two_results_lie_side_by_side(browser, tmp_path, scan, result):
    other = dataclasses.replace(result, object_=result.object_ * np.complex64(0.9))
    found = compare(result, other.object_, other.origin, reference_coverage=other.coverage)
    summaries = (
        {"settings": {"N": 32, "width": 8}, "r_factor": 1 / 3},
        {"settings": {"N": 32, "width": 16, "extra": HOSTILE}, "r_factor": 1 / 4},
    )
    path = tmp_path / "both.html"
    save_comparison_page(path, found, ("a", HOSTILE), summaries, {"complex NRMSE": "0.1"}, ["mind the gap"])
    opened(browser, path)
    assert complaints(browser) == []
    wheel(browser, browser.find_elements("css selector", ".window")[2], -300)
    assert len(set(transforms(browser))) == 1
    assert len(transforms(browser)) == 6
    differing = [row.text.split()[0] for row in browser.find_elements("css selector", "tr.differs")]
    assert differing == ["width", "r_factor", "extra"]
    assert "r_factor 0.333333 0.25" in browser.find_element("css selector", "main").text
    assert "mind the gap" in browser.find_element("css selector", ".warning").text


def test_one_colour_of_dots_is_explained_too(browser, tmp_path, scan, result, check):
    alike = dataclasses.replace(check, z=np.full(60, 40.0))
    save_report(tmp_path / "alike.html", Report(scan, result, alike, FACTS, {}))
    opened(browser, tmp_path / "alike.html")
    assert "z above 30" in [item.text for item in browser.find_elements("css selector", "ul.legend li")]


# --- without a browser ------------------------------------------------------------------------------------------------


def decoded(drawn):
    import base64

    levels = np.frombuffer(base64.b64decode(drawn.values), "<u2").reshape(drawn.height, drawn.width)
    values = drawn.least + levels / 65534 * (drawn.most - drawn.least)
    return np.where(levels == 65535, np.nan, values)


def test_values_come_back_as_they_were_and_what_is_not_known_does_not():
    values = np.random.default_rng(0).normal(size=(7, 5))
    mask = values > -1
    values[3, 2] = np.nan
    back = decoded(pixel_map("a", values, mask, "viridis", (-1.0, 1.0)))
    known = mask & np.isfinite(values)
    np.testing.assert_array_equal(np.isfinite(back), known)
    np.testing.assert_allclose(back[known], values[known], atol=np.ptp(values[known]) / 65534)


def test_a_correlation_that_recovers_is_told_from_one_that_is_lost(check):
    x, half_bit = check.agreement.frc.frequency, check.agreement.frc.half_bit
    for dip, recovers in (((x > 0.1) & (x < 0.2), True), (x > 0.1, False)):
        frc = dataclasses.replace(check.agreement.frc, correlation=np.where(dip, half_bit - 0.1, half_bit + 0.1))
        chart = frc_chart(dataclasses.replace(check.agreement, frc=frc), None)
        assert ("rises above it again" in chart.caption) == recovers
        limit = next(line for line in chart.lines if line.name.startswith("limit of"))
        assert limit.path.count("M") == 1 + recovers, "no limit where the halves share nothing"


@pytest.mark.parametrize("constant", [0.0, -3.5])
def test_a_constant_map_is_a_map(constant):
    back = decoded(pixel_map("a", np.full((4, 4), constant), np.ones((4, 4), bool), "gray", (constant, constant + 1)))
    np.testing.assert_allclose(back, constant, atol=1e-4)


def test_means_over_squares_leave_out_what_is_not_known():
    field = np.arange(20, dtype=float).reshape(4, 5)
    mask = np.ones((4, 5), bool)
    mask[:2, :2] = False
    mask[2, 2] = False
    means, known = averaged(field, mask, 2)
    assert known.tolist() == [[False, True, True], [True, True, True]]
    assert means[1, 1] == pytest.approx(np.mean([13, 17, 18]))
    assert means[0, 2] == pytest.approx(np.mean([4, 9]))


def test_a_large_object_makes_a_page_of_a_few_megabytes(tmp_path, scan, result, check):
    tall = np.kron(result.object_, np.ones((7, 7), np.complex64))[:1024, :1024]
    noise = np.random.default_rng(0).normal(size=tall.shape)
    large = dataclasses.replace(
        result, object_=(tall * (1 + 0.1 * noise)).astype(np.complex64), coverage=np.ones(tall.shape, np.float32)
    )
    grown = dataclasses.replace(
        check,
        **dict.fromkeys(("amplitude_deviation", "phase_deviation", "shot_noise"), np.abs(noise)),
    )
    save_report(tmp_path / "large.html", Report(scan, large, grown, FACTS, {}))
    assert (tmp_path / "large.html").stat().st_size < 8e6


def test_the_page_says_what_became_of_iterations_and_corrections(scan, result, check, tmp_path):
    found = {
        "position_correction": {"rms": 0.148, "largest": 0.325},
        "flux": {"smallest": 0.98, "largest": 1.03},
        "background": 0.25,
        "probe_variation": [0.03, 0.01],
    }
    for said, words in (
        ({"network_weight": 0.3, "refined": found}, "after the network, whose object makes up 30% of the result<"),
        ({"network_kept": True, "refined": found}, "photons kept apart decided for the network alone"),
        ({"stopped_early": True, "refined": found}, "after the network; held-out pixels ended them"),
    ):
        save_report(tmp_path / "report.html", Report(scan, result, check, {**FACTS, **said}, {}))
        text = (tmp_path / "report.html").read_text()
        for shown in (words, "0.148 px", "at most 0.325 px", "0.98 to 1.03", "0.25", "0.03, 0.01"):
            assert shown in text
