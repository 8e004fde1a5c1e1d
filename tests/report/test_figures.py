import sys

import numpy as np
import pytest
from matplotlib import image as pictures
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.errors import BackendNotInstalledError, ConfigError, DataError, OutputError
from ptycho.metrics.summary import compare
from ptycho.report.demo_page import Curves, save_demo_page
from ptycho.report.drawing import free_turn, hues, phase_colours, robust_limits
from ptycho.report.figures import save_amplitude, save_phase
from ptycho.simulation.simulate import Simulation, simulate

SAVES = [save_amplitude, save_phase]


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=32, n_positions=60, n_modes=2, n_dead_pixels=4), np.random.default_rng(0))


@pytest.fixture(scope="module")
def reconstruction(scan):
    coverage = np.zeros(scan.object_.shape, np.float32)
    for top, left in np.floor(scan.positions).astype(int) - 16:
        coverage[top : top + 32, left : left + 32] += (np.abs(scan.probe) ** 2).sum(axis=0)
    return Reconstruction(scan.object_, coverage, np.zeros(2), scan.probe, scan.positions)


def with_object(reconstruction, object_):
    return Reconstruction(
        object_.astype(np.complex64),
        reconstruction.coverage,
        reconstruction.origin,
        reconstruction.probe,
        reconstruction.positions,
    )


@pytest.mark.parametrize("save", SAVES)
def test_a_picture_shows_the_object(tmp_path, reconstruction, save):
    save(tmp_path / "real.png", reconstruction)
    flat = np.ones_like(reconstruction.object_)
    save(tmp_path / "flat.png", with_object(reconstruction, flat))
    real, uniform = (pictures.imread(tmp_path / name) for name in ("real.png", "flat.png"))
    assert real.shape[2] in (3, 4)
    assert min(real.shape[:2]) > 400
    tones = [len(np.unique(picture[..., 1])) for picture in (real, uniform)]
    assert tones[0] >= tones[1]
    middle = [picture[200:-200:3, 200:-300:3, 1].std() for picture in (real, uniform)]
    assert middle[0] > 2 * middle[1], "the object must be visible and a flat one must look flat"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.png", "real.png"], "no partial file stays"


def test_the_limits_of_a_phase_can_be_chosen(tmp_path, reconstruction):
    save_phase(tmp_path / "dark.png", reconstruction, (50.0, 60.0))
    save_phase(tmp_path / "own.png", reconstruction)
    dark, own = (pictures.imread(tmp_path / name)[200:-200:3, 200:-300:3, 1] for name in ("dark.png", "own.png"))
    assert dark.std() < own.std(), "a phase far below the first colour has one colour"
    with pytest.raises(ConfigError, match="run from 60 to 50"):
        save_phase(tmp_path / "wrong.png", reconstruction, (60.0, 50.0))
    assert not (tmp_path / "wrong.png").exists()


@pytest.mark.parametrize("factor", [1e-4 * np.exp(1j), np.exp(3j)])
def test_free_factors_do_not_change_the_phase_picture(tmp_path, reconstruction, factor):
    save_phase(tmp_path / "one.png", reconstruction)
    save_phase(tmp_path / "other.png", with_object(reconstruction, factor * reconstruction.object_))
    one, other = (pictures.imread(tmp_path / name) for name in ("one.png", "other.png"))
    assert np.mean(np.abs(one - other) > 0.02) < 0.01


@pytest.mark.parametrize("save", SAVES)
def test_junk_outside_the_covered_region_is_not_drawn(tmp_path, reconstruction, save):
    save(tmp_path / "clean.png", reconstruction)
    junk = np.where(reconstruction.coverage > 0.01 * reconstruction.coverage.max(), reconstruction.object_, 1e6)
    save(tmp_path / "junk.png", with_object(reconstruction, junk))
    clean, dirty = (pictures.imread(tmp_path / name) for name in ("clean.png", "junk.png"))
    np.testing.assert_array_equal(clean, dirty)


@pytest.mark.parametrize("save", SAVES)
def test_an_uncovered_object_is_refused(tmp_path, reconstruction, save):
    empty = Reconstruction(
        reconstruction.object_,
        np.zeros_like(reconstruction.coverage),
        reconstruction.origin,
        reconstruction.probe,
        reconstruction.positions,
    )
    with pytest.raises(DataError, match="covers no pixel"):
        save(tmp_path / "a.png", empty)
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_refused(tmp_path, reconstruction):
    with pytest.raises(OutputError, match=r"\.jpeg.*\.png"):
        save_amplitude(tmp_path / "a.jpeg", reconstruction)


def test_without_matplotlib_it_says_what_to_install(tmp_path, reconstruction, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendNotInstalledError, match=r"matplotlib.*ptychopinn\[report\]"):
        save_amplitude(tmp_path / "a.png", reconstruction)


@pytest.mark.parametrize("n_results", [1, 2])
def test_the_demo_page_is_drawn_in_every_format(tmp_path, scan, reconstruction, n_results):
    noise = np.random.default_rng(1).normal(size=reconstruction.object_.shape)
    results = {
        name: compare(with_object(reconstruction, reconstruction.object_ + level * noise), scan.object_)
        for name, level in list({"network": 0.1, "refined": 0.01}.items())[:n_results]
    }
    curves = [Curves("training", "epoch", "loss", {"training": [3.0, 2.0, 1.0], "held out": [-3.1, 2.2]})]
    for suffix in (".png", ".svg")[:n_results]:
        path = tmp_path / f"page{suffix}"
        save_demo_page(path, title="a story", scan=scan, comparisons=results, curves=curves)
        assert path.stat().st_size > 20_000
    if n_results == 2:
        text = (tmp_path / "page.svg").read_text(encoding="utf-8")
        for words in ("a story", "truth", "network", "refined", "training", "held out", "half bit", "phase (rad)"):
            assert f"<!-- {words}" in text, words


def test_curves_of_the_demo_page_can_be_read(tmp_path, scan, reconstruction, monkeypatch):
    drawn = []
    save = Figure.savefig

    def savefig(figure, *args, **choices):
        save(figure, *args, **choices)
        drawn.append(figure)

    monkeypatch.setattr(Figure, "savefig", savefig)
    curves = [
        Curves("training", "epoch", "loss", {"training": [-3.0]}),
        Curves("iterations", "iteration", "deviance", {"all pixels": [0.52, 0.49, 0.48]}, first=0),
        Curves("steep", "iteration", "deviance", {"one": [50.0, 5.0], "other": [5.0, 0.5]}),
    ]
    results = {"network": compare(reconstruction, scan.object_)}
    save_demo_page(tmp_path / "page.png", title="a story", scan=scan, comparisons=results, curves=curves)
    (figure,) = drawn
    panels = {axes.get_title(): axes for axes in figure.findobj(Axes)}
    once, flat, steep = (panels[curve.title] for curve in curves)
    assert once.lines[0].get_marker() == ".", "a single point has no line"
    assert (flat.get_yscale(), flat.lines[0].get_xdata().tolist()) == ("linear", [0, 1, 2])
    assert (steep.get_yscale(), steep.lines[0].get_xdata().tolist()) == ("log", [1, 2])
    texts = {text.get_text(): text.get_window_extent() for text in figure.findobj(Text)}
    assert texts["loss"].x0 - texts["counts"].x1 > 2 * texts["counts"].width, "no label is taken for another's"


def test_a_demo_page_without_results_is_refused(tmp_path, scan):
    with pytest.raises(DataError, match="no comparison"):
        save_demo_page(tmp_path / "a.png", title="nothing", scan=scan, comparisons={})


def test_limits_ignore_outliers_and_never_collapse():
    values = np.linspace(0, 1, 10_000).reshape(100, 100)
    values[0, 0] = 1e9
    low, high = robust_limits(values, np.ones_like(values, bool))
    assert -0.01 < low < 0.02
    assert 0.98 < high < 1.01
    for constant in (0.0, 1.0, -1e-7):
        low, high = robust_limits(np.full((4, 4), constant), np.ones((4, 4), bool))
        assert low < constant < high


def test_a_phase_over_the_whole_turn_gets_a_circle_of_colours():
    everywhere = np.ones((50, 50), bool)
    narrow = np.linspace(-0.5, 0.5, 2500).reshape(50, 50)
    assert phase_colours(6 * narrow, everywhere)[1] == (-np.pi, np.pi)
    assert phase_colours(narrow, everywhere)[1] == pytest.approx((-0.5, 0.5), abs=0.02)


def test_hues_close_the_circle():
    turn = np.linspace(-np.pi, np.pi, 101)[None]
    colours = hues(turn)
    np.testing.assert_allclose(colours[:, 0], colours[:, -1], atol=1e-9)
    assert np.abs(np.diff(colours, axis=1)).max() < 0.1


def test_the_free_turn_centres_the_phase():
    rng = np.random.default_rng(0)
    object_ = np.exp(1j * (3.0 + 0.3 * rng.normal(size=(20, 20))))
    mask = rng.random((20, 20)) < 0.7
    centred = object_ * free_turn(object_, mask)
    assert abs(np.angle(centred[mask].sum())) < 1e-12
    np.testing.assert_allclose(np.abs(centred), np.abs(object_))


def test_a_large_object_is_drawn_from_some_of_its_pixels_in_the_same_frame(tmp_path, reconstruction, monkeypatch):

    extents = []
    original = Axes.imshow

    def imshow(axes, values, **choices):
        extents.append((values.shape, choices["extent"]))
        return original(axes, values, **choices)

    monkeypatch.setattr(Axes, "imshow", imshow)
    for longest in (4096, max(reconstruction.object_.shape) // 3 + 1):
        monkeypatch.setattr("ptycho.report.figures.LONGEST_SIDE", longest)
        save_amplitude(tmp_path / "a.png", reconstruction)
    (whole, full), (few, drawn) = extents
    assert max(few) <= max(whole) // 3 + 1
    np.testing.assert_allclose(drawn, full, atol=3.5)
