"""`ptycho inspect` tells what is in a file, what was guessed of it and, where it can't be read, what it lacks."""

import json

import numpy as np
import pytest

from ptycho.acquisition.readers import LAYOUTS, read
from ptycho.acquisition.readers.nearest import KEYS, nearest_layout
from ptycho.acquisition.statistics import statistics
from ptycho.cli.main import main
from ptycho.report.scan_picture import light
from tests.cli.conftest import contents

# What programs rely on: a name may be added, none may go or change its meaning.
SCHEMA = {
    "file",
    "keys",
    "layout",
    "error",
    "nearest",
    "missing",
    "scan",
    "findings",
    "usable",
    "training",
    "no_forecast",
}
FIGURES = {
    *("n_positions", "size", "dtype", "quantity", "count_scale", "origin", "counts_min", "counts_median", "counts_max"),
    *("centre", "n_bad_pixels", "extent", "n_duplicates", "step", "overlap", "gap", "probe_modes", "probe_diameter"),
    *("probe_power", "object_shape", "geometry", "notes"),
}


@pytest.fixture(autouse=True)
def without_forecast(request, monkeypatch):
    if "with_forecast" in request.fixturenames:
        return
    monkeypatch.setattr("ptycho.cli.inspect._forecast", lambda scan: (None, "not asked for"))


@pytest.fixture
def with_forecast():
    """The trial steps of a training are taken."""


def inspected(capsys, *argv, status=0):
    assert main(["inspect", *map(str, argv)]) == status
    return capsys.readouterr()


def as_json(capsys, *argv, status=0):
    return json.loads(inspected(capsys, *argv, "--json", status=status).out)


def test_the_json_keeps_its_names(capsys, scan_file):
    found = as_json(capsys, scan_file)
    assert set(found) >= SCHEMA
    assert set(found["scan"]) >= FIGURES
    assert found["layout"] == "npz of PtychoPINN"
    assert found["error"] is None


def test_what_the_user_states_is_seen(capsys, scan_file):
    said = inspected(capsys, scan_file, "--energy", "8800", "--distance", "2", "--detector_pixel", "75e-6").out
    rows = {line[:24].strip(): line[26:] for line in said.splitlines()}
    assert rows["energy"] == "8.8 keV"
    assert rows["distance"] == "2 m"
    assert rows["detector pixel"] == "75 x 75 µm (y, x)"
    # 12.39842 keV Angstrom / 8.8 keV x 2 m / (32 x 75 um)
    assert float(rows["object pixel"].split()[0]) == pytest.approx(12.39842 / 8.8 * 0.1 * 2 / (32 * 75e-6), rel=1e-4)
    assert "µm" in rows["extent of the scan"]


def test_quantity_is_short_and_its_reason_a_note(capsys, scan_file):
    said = inspected(capsys, scan_file).out
    assert ["quantity", "counts"] in [line.split() for line in said.splitlines()]
    assert f"- {read(scan_file).origin}\n" in said


def test_notes_of_the_reader_are_told(capsys, tmp_path, scan_arrays):
    np.savez(tmp_path / "noted.npz", **scan_arrays, notes=np.array(["positions are minus the sample's"]))
    assert "- positions are minus the sample's\n" in inspected(capsys, tmp_path / "noted.npz").out


@pytest.mark.parametrize("asked", [0.4, 0.9])
@pytest.mark.parametrize("kind", ["raster", "spiral", "random"])
def test_the_overlap_found_is_the_overlap_simulated(capsys, tmp_path, kind, asked):
    path = tmp_path / "scan.npz"
    flags = ["--N", "32", "--positions", "196", "--scan", kind, "--quiet"]
    assert main(["simulate", str(path), "--overlap", str(asked), *flags]) == 0
    assert statistics(read(path)).overlap == pytest.approx(asked, abs=0.15 * (1 - asked))


def test_positions_on_a_line_have_their_step():
    from dataclasses import replace

    from tests.laws.scans import small_scan

    scan = small_scan()
    along = np.arange(scan.n_positions)[:, None] * np.array([1.2, -1.6]) + 40
    assert statistics(replace(scan, positions=along)).step == pytest.approx(2)
    apart = replace(scan, positions=20 * along)
    assert statistics(apart).overlap == 0
    assert statistics(apart).gap == pytest.approx(40 - statistics(apart).diameter)


def test_a_gap_is_called_one(capsys, tmp_path, scan_arrays):
    wide = {key: 40 * scan_arrays[key] for key in ("xcoords", "ycoords")}
    kept = {key: value for key, value in scan_arrays.items() if key not in ("objectGuess", "xcoords", "ycoords")}
    np.savez(tmp_path / "wide.npz", **kept, **wide)
    found = as_json(capsys, tmp_path / "wide.npz")["scan"]
    assert found["overlap"] == 0
    assert found["gap"] == pytest.approx(found["step"] - found["probe_diameter"])
    said = inspected(capsys, tmp_path / "wide.npz").out
    assert f"a gap of {found['gap']:.2f} px" in said
    assert "warning: found neighbours" in said
    assert "that the patterns are far field" in said
    assert "-0." not in said


def test_a_file_that_is_no_scan_is_listed_with_what_it_lacks(capsys, tmp_path, scan_arrays):
    arrays = {key: scan_arrays[key] for key in ("diff3d", "xcoords", "ycoords")}
    np.savez(tmp_path / "lacking.npz", **arrays, probe_guess=scan_arrays["probeGuess"])
    said = inspected(capsys, tmp_path / "lacking.npz", status=2)
    assert "(40, 32, 32)" in said.out
    assert "nearest layout: npz of PtychoPINN; it lacks probeGuess (did you mean 'probe_guess'?)" in said.out
    assert said.err.startswith("ptycho inspect: error: ")
    assert said.err.count("\n") == 1
    found = as_json(capsys, tmp_path / "lacking.npz", status=2)
    assert set(found) >= SCHEMA
    assert found["usable"] is False
    assert found["scan"] is None
    assert found["missing"] == ["probeGuess (did you mean 'probe_guess'?)"]
    assert "probeGuess" in found["error"]


def test_a_key_of_the_layout_is_no_misspelling_of_another(capsys, tmp_path, scan_arrays):
    np.savez(tmp_path / "part.npz", **{key: scan_arrays[key] for key in ("diff3d", "objectGuess")})
    assert as_json(capsys, tmp_path / "part.npz", status=2)["missing"] == ["xcoords", "ycoords", "probeGuess"]


def test_patterns_of_a_size_that_no_network_takes_are_described_all_the_same(
    capsys, tmp_path, scan_arrays, with_forecast
):
    pytest.importorskip("torch")
    cut = {"diff3d": scan_arrays["diff3d"][:, 1:-1, 1:-1], "probeGuess": scan_arrays["probeGuess"][:, 1:-1, 1:-1]}
    rest = {key: scan_arrays[key] for key in ("xcoords", "ycoords")}
    np.savez(tmp_path / "thirty.npz", **cut, **rest)
    found = as_json(capsys, tmp_path / "thirty.npz")
    assert found["training"] is None
    assert "N is 30; expected" in found["no_forecast"]
    assert "no forecast of training: N is 30" in inspected(capsys, tmp_path / "thirty.npz").out


def test_what_a_recognised_layout_lacks_is_said_of_no_other(capsys, tmp_path, scan_arrays):
    np.save(tmp_path / "frames.npy", scan_arrays["diff3d"])
    found = as_json(capsys, tmp_path / "frames.npy", status=2)
    assert (found["layout"], found["nearest"]) == ("arrays", "arrays")


def test_layouts_that_can_be_nearest_exist():
    assert set(KEYS) == {layout.name for layout in LAYOUTS}
    for name, keys in KEYS.items():
        # A folder has the keys of an npz: only what was recognised tells them apart.
        recognised = name if name.startswith("folder") else None
        assert nearest_layout([words.split("|")[0] for words in keys], recognised) == (name, ())


def test_turned_patterns_are_drawn_and_nothing_is_written_unasked(capsys, tmp_path, scan_file):
    inspected(capsys, scan_file, "--flip_x", "true")
    assert contents(tmp_path) == {}
    straight, turned = tmp_path / "straight.png", tmp_path / "turned.png"
    inspected(capsys, scan_file, "--picture", straight)
    inspected(capsys, scan_file, "--picture", turned, "--transpose", "true")
    pictures = contents(tmp_path)
    assert set(pictures) == {"straight.png", "turned.png"}
    assert pictures["straight.png"] != pictures["turned.png"]
    inspected(capsys, scan_file, "--picture", turned, status=2)
    assert contents(tmp_path) == pictures


def test_the_light_on_the_object_is_that_of_every_probe(scan_file):
    scan = read(scan_file)
    total, (top, left) = light(scan)
    intensity = np.sum(np.abs(scan.probe) ** 2, axis=0)
    expected = np.zeros_like(total)
    for y, x in np.rint(scan.positions).astype(int) - 16 - np.array([top, left]).astype(int):
        expected[y : y + 32, x : x + 32] += intensity / intensity.max()
    np.testing.assert_allclose(total, expected, atol=1e-6)
