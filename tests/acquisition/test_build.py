"""From loose arrays to an acquisition."""

import numpy as np
import pytest

from ptycho.acquisition.build import acquisition_from_arrays, align_frames
from ptycho.base.errors import DataError
from ptycho.optics.intensity import CountRule


@pytest.fixture
def parts(arrays):
    keys = arrays()
    return {
        "patterns": keys["diff3d"],
        "positions": np.stack([keys["ycoords"], keys["xcoords"]], axis=1),
        "probe": keys["probeGuess"],
    }


def test_patterns_are_kept_as_they_are(parts):
    scan = acquisition_from_arrays(**parts)
    assert scan.patterns.dtype == np.uint16
    assert np.shares_memory(scan.patterns, parts["patterns"])
    assert scan.mask.all()
    assert (scan.quantity, scan.count_scale) == ("counts", 1.0)
    np.testing.assert_array_equal(scan.probe[0], parts["probe"])


@pytest.mark.parametrize("layout", ["n y x", "n y x 1", "y x n"])
def test_three_orders_of_axes_are_one(parts, layout):
    patterns = parts["patterns"]
    stored = {"n y x": patterns, "n y x 1": patterns[..., None], "y x n": np.moveaxis(patterns, 0, -1).copy()}[layout]
    aligned = align_frames(stored, len(patterns))
    np.testing.assert_array_equal(aligned, patterns)
    assert np.shares_memory(aligned, stored)


def test_a_cube_is_taken_frame_first():
    cube = np.arange(16**3).reshape(16, 16, 16)
    np.testing.assert_array_equal(align_frames(cube, 16), cube)


def test_the_probe_of_amplitudes_is_brought_to_counts(parts):
    scale = 7.0
    amplitude = parts | {
        "patterns": (np.sqrt(parts["patterns"]) / scale).astype(np.float32),
        "probe": parts["probe"] / np.float32(scale),
    }
    scan = acquisition_from_arrays(**amplitude)
    assert scan.count_scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(scan.probe[0], parts["probe"], rtol=1e-5)
    np.testing.assert_allclose(scan.counts(), parts["patterns"], rtol=1e-5, atol=1e-4)


def test_a_stated_rule_wins(parts):
    rule = CountRule("amplitude", 3.0, "the microscope says so")
    scan = acquisition_from_arrays(**parts, rule=rule)
    assert (scan.quantity, scan.count_scale, scan.origin) == ("amplitude", 3.0, rule.origin)
    np.testing.assert_allclose(scan.probe[0], 3 * parts["probe"], rtol=1e-6)


def broken(name, change):
    return pytest.param(name, change, id=f"{name}-{change.__name__}")


def nan(a):
    b = a.astype(a.dtype if a.dtype.kind == "c" else float)
    b.flat[3] = np.nan
    return b


def infinite(a):
    return nan(a) + np.inf


def negative(a):
    return a.astype(int) - 1


def complex_(a):
    return a.astype(complex)


def text(a):
    return a.astype(str)


def short(a):
    return a[:-1]


def oblong(a):
    return a[..., :-2]


def empty(a):
    return a[:0]


def flat(a):
    return a.reshape(len(a), -1)


def dark(a):
    return a * 0


def smaller(a):
    return a[..., 1:-1, 1:-1]


@pytest.mark.parametrize(
    ("name", "change"),
    [broken("patterns", c) for c in (nan, infinite, negative, complex_, text, short, oblong, empty, flat, dark)]
    + [broken("positions", c) for c in (nan, infinite, complex_, text, short, empty)]
    + [broken("probe", c) for c in (nan, text, oblong, smaller)],
)
def test_arrays_that_cannot_be_used_are_refused_in_one_line(parts, name, change):
    with pytest.raises(DataError) as refusal:
        acquisition_from_arrays(**parts | {name: change(parts[name])})
    message = str(refusal.value)
    assert "expected" in message
    assert ";" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "extra",
    [
        {"bad_pixels": np.zeros((32, 31), bool)},
        {"bad_pixels": np.zeros((32, 32))},
        {"object_": np.ones((2, 40, 40))},
        {"object_": np.full((40, 40), np.nan)},
        {"rule": CountRule("amplitude", 0.0, "")},
        {"rule": CountRule("amplitude", np.nan, "")},
        {"labelled": -1.0},
        {"nphotons": 0.0},
    ],
    ids=str,
)
def test_companions_that_cannot_be_used_are_refused(parts, extra):
    with pytest.raises(DataError, match="expected"):
        acquisition_from_arrays(**parts, **extra)


def test_a_part_of_a_scan_keeps_what_belongs_together(parts):
    labels = (np.arange(len(parts["patterns"]))[:, None, None] * np.ones(parts["patterns"].shape[1:])).astype(complex)
    for kept in (labels, None):
        scan = acquisition_from_arrays(**parts, labels=kept)
        part = scan.part(np.array([5, 2]))
        np.testing.assert_array_equal(part.patterns, scan.patterns[[5, 2]])
        np.testing.assert_array_equal(part.positions, scan.positions[[5, 2]])
        assert part.labels is None if kept is None else np.array_equal(part.labels, labels[[5, 2]])
        assert part.probe is scan.probe
