"""Every remark on a scan is made when it is due, and only then."""

from copy import copy
from dataclasses import asdict, replace

import numpy as np
import pytest

from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.acquisition.checks import check, require, require_labels
from ptycho.acquisition.readers import read
from ptycho.acquisition.summary import summary
from ptycho.base.errors import DataError
from ptycho.optics.geometry import Geometry, energy_of


@pytest.fixture
def scan(arrays):
    keys = arrays()
    positions = np.stack([keys["ycoords"], keys["xcoords"]], axis=1)
    return acquisition_from_arrays(keys["diff3d"], positions, keys["probeGuess"])


def remarks(scan):
    return [(finding.level, finding.what) for finding in check(scan)]


def test_a_good_scan_draws_no_remark(scan):
    assert check(scan) == ()
    assert require(scan) == ()


def changed(patterns, index, value):
    patterns = patterns.copy()
    patterns[index] = value
    return patterns


def forged(scan, **values):
    """Change a scan behind the back of its constructor, whose shapes are checked while the tests run."""
    changed_scan = copy(scan)
    for name, value in values.items():
        object.__setattr__(changed_scan, name, value)
    return changed_scan


def unshifted(s):
    return replace(s, patterns=np.fft.ifftshift(s.patterns, axes=(1, 2)))


def hand_made(s):
    return replace(s, patterns=changed(s.patterns.astype(float), (0, 0, 0), np.nan))


REFUSED = {
    "zero frequency at index [0, 0]": unshifted,
    "look like metres": lambda s: replace(s, positions=s.positions * 1e-8),
    "probe that is zero": lambda s: replace(s, probe=s.probe * 0),
    "no counts in any frame": lambda s: replace(s, patterns=s.patterns * 0),
    "trusts no pixel": lambda s: replace(s, mask=s.mask & False),
    "positions spread over": lambda s: replace(s, positions=s.positions * 1e5),
    "an even number": lambda s: replace(
        s, patterns=s.patterns[:, 1:, 1:], probe=s.probe[:, 1:, 1:], mask=s.mask[1:, 1:]
    ),
    "finite values, not negative": hand_made,
    "NaN or infinity in the positions": lambda s: replace(s, positions=s.positions + np.inf),
    "one size": lambda s: forged(s, mask=s.mask[1:]),
    "patterns of shape": lambda s: forged(s, positions=s.positions[1:]),
}


@pytest.mark.parametrize("said", REFUSED)
def test_useless_scans_are_refused_in_one_line(scan, said):
    with pytest.raises(DataError) as refusal:
        require(REFUSED[said](scan))
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def off_centre(s):
    return replace(s, patterns=np.roll(s.patterns, 6, axis=1))


WARNED = {
    "1 frame without counts (first: 3)": lambda s: replace(s, patterns=changed(s.patterns, 3, 0)),
    "ten times brighter": lambda s: replace(
        s, patterns=changed(s.patterns.astype(np.int32), 3, 11 * s.patterns[3].astype(int))
    ),
    "counts in a frame": lambda s: replace(s, patterns=(s.patterns > s.patterns.max() - 40).astype(np.uint16)),
    "a mean pattern centred at": off_centre,
    "1 repeated position": lambda s: replace(s, positions=changed(s.positions, 1, s.positions[0])),
    "an overlap of": lambda s: replace(s, positions=s.positions * 5),
    "1 dead detector pixel (first: [14, 17])": lambda s: replace(
        s, patterns=changed(s.patterns, (slice(None), 14, 17), 0)
    ),
    "1 hot detector pixel (first: [4, 25])": lambda s: replace(
        s, patterns=changed(s.patterns, (slice(None), 4, 25), 9000)
    ),
}


@pytest.mark.parametrize("said", WARNED)
def test_doubtful_scans_are_warned_of(scan, said):
    findings = require(WARNED[said](scan))
    assert [finding.level for finding in findings] == ["warn"] * len(findings)
    assert any(said in finding.what for finding in findings), findings


def placed(scan, energy, distance, pixel):
    """Give a scan the lengths of an experiment."""
    return replace(scan, geometry=Geometry(energy, distance, (pixel, pixel)).completed(scan.size))


WRONG_UNITS = {
    "keV": ((8.8, 2.0, 75e-6), ["an energy of 8.8 eV", "50 to 2e+06 eV"]),
    "mm": ((8800.0, 2000.0, 75e-6), ["a distance of 2000 m", "an object pixel of 1.174e+05 x 1.174e+05 nm"]),
    "micrometres": ((8800.0, 2.0, 75.0), ["a detector pixel of 75 x 75 m", "an object pixel of 0.0001174 x"]),
}


@pytest.mark.parametrize("unit", WRONG_UNITS)
def test_lengths_in_another_unit_are_warned_of_in_one_line(scan, unit):
    lengths, words = WRONG_UNITS[unit]
    (finding,) = require(placed(scan, *lengths))
    assert finding.level == "warn"
    for word in (*words, "give the energy in eV, distance and detector pixel in m"):
        assert word in str(finding)


SOUND = {
    "hard X-rays": (8800.0, 2.0, 75e-6),
    "soft X-rays": (280.0, 0.15, 15e-6),
    "electrons of 300 keV": (energy_of(1.97e-12), 1.0, 1.2e-3 / 8),
    "electrons of 1 MeV": (energy_of(0.87e-12), 2.0, 55e-6),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_lengths_are_not_warned_of(scan, kind):
    assert check(placed(scan, *SOUND[kind])) == ()


def test_marked_pixels_are_not_remarked_on(scan):
    mask = scan.mask.copy()
    mask[14, 17] = mask[4, 25] = False
    patterns = changed(changed(scan.patterns, (slice(None), 14, 17), 0), (slice(None), 4, 25), 9000)
    assert check(replace(scan, patterns=patterns, mask=mask)) == ()


def test_one_frame_is_a_scan_that_can_not_train(scan):
    one = replace(scan, patterns=scan.patterns[:1], positions=scan.positions[:1])
    assert [(found.level, found.what) for found in check(one)] == [("warn", "1 position")]
    assert summary(one).step == 0


def test_supervised_training_asks_for_labels(scan):
    with pytest.raises(DataError, match=r"no true patches in the training scan.*add one of them.*DATA-SUP-001"):
        require_labels(scan, "training scan")
    require_labels(replace(scan, labels=np.ones(scan.patterns.shape, np.complex64)), "training scan")
    require_labels(replace(scan, object_=np.ones((60, 60), np.complex64)), "training scan")


def test_an_object_that_no_position_looks_at_is_no_label(scan):
    elsewhere = replace(scan, object_=np.ones((60, 60), np.complex64), positions=scan.positions - 300)
    with pytest.raises(DataError, match=r"objectGuess of \(60, 60\) px and positions .* from \[-\d+") as refusal:
        require_labels(elsewhere, "validation scan")
    assert "\n" not in str(refusal.value)


def test_the_summary_says_what_was_measured(scan):
    figures = summary(scan)
    totals = scan.patterns.astype(float).sum(axis=(1, 2))
    assert (figures.n_positions, figures.size, figures.dtype) == (25, 32, "uint16")
    assert figures.counts_min == totals.min()
    assert figures.counts_median == np.median(totals)
    assert figures.counts_max == totals.max()
    assert figures.centre == pytest.approx((16, 16), abs=0.2)
    assert figures.extent == (12, 12)
    assert figures.step == pytest.approx(3)
    assert figures.probe_diameter == pytest.approx(16, rel=0.05)
    assert figures.overlap == pytest.approx(1 - 3 / figures.probe_diameter)
    assert figures.probe_power == pytest.approx(totals.mean(), rel=0.01)
    assert figures.object_shape is None
    assert asdict(figures)["quantity"] == "counts"


def test_large_counts_do_not_overflow(scan):
    bright = replace(scan, patterns=np.full_like(scan.patterns, 60000))
    assert summary(bright).counts_max == 60000 * 32**2


def test_shared_scans_are_usable(shared_data, benchmark_scan):
    for path in (shared_data / "siemens_star" / "siemens_star.npz", *benchmark_scan.values()):
        assert remarks(read(path)) == []
