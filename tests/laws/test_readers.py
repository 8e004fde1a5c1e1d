"""One contract for every reader: a scan of which everything is known reads back as what it is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import LAYOUTS, identify, read
from ptycho.config.reading import Reading
from tests.laws import scan_files
from tests.laws.known_scan import Known, expected_counts, known_scan

ENOUGH = 5.0  # expected counts of a pixel above which its deviance has a mean of one


@dataclass(frozen=True)
class Case:
    """How a layout is written, and what it keeps of a scan.

    Attributes
    ----------
    layout
        Name of the layout that has to be found.
    write
        Writes a scan into a folder and returns the file that a user names.
    modes
        Modes of the probe that the file keeps; none where it keeps no probe.
    mask
        Whether the file keeps the mask.
    lengths
        Lengths that the file keeps; the others are given by the user when ``asks`` and unknown otherwise.
    asks
        Whether positions are in metres that only lengths from outside make pixels.
    """

    layout: str
    write: Callable[[Path, Known], Path]
    modes: int = 0
    mask: bool = False
    lengths: tuple[str, ...] = ("energy", "distance", "detector_pixel", "object_pixel")
    asks: bool = False


CASES = {
    "SLAC, px": Case("npz of SLAC", scan_files.slac_npz, modes=1),
    "SLAC, m": Case("npz of SLAC", scan_files.slac_npz_in_metres, modes=1),
    "fold_slice": Case("fold_slice", scan_files.fold_slice),
    "NSLS-II style 1": Case("NSLS-II 3-ID", scan_files.nsls2_style_1, lengths=("energy",), asks=True),
    "NSLS-II style 2": Case("NSLS-II 3-ID", scan_files.nsls2_style_2),
    "NSLS-II style 2, dp": Case("NSLS-II 3-ID", scan_files.nsls2_style_2_counts),
    "NSLS-II MATLAB": Case("NSLS-II 3-ID", scan_files.nsls2_matlab, modes=1),
    "ptyd": Case("ptyd of PtyPy", scan_files.ptyd, mask=True),
    "NeXus": Case("NeXus", scan_files.nexus, mask=True),
    "npy": Case("arrays", scan_files.arrays, modes=2, lengths=()),
    "npy and csv": Case("arrays", scan_files.arrays_and_csv, lengths=(), asks=True),
    "npy and txt": Case("arrays", scan_files.arrays_and_txt, lengths=(), asks=True),
    "npz of any names": Case("arrays", scan_files.named_arrays, modes=2, lengths=()),
}


def every(cases=CASES):
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


def given(case: Case, known: Known) -> Reading:
    """Return what a user has to say for a file to be read."""
    if not case.asks:
        return Reading()
    return Reading(energy=known.energy, distance=known.distance, detector_pixel=known.detector_pixel[0])


def found(case: Case, folder: Path, known: Known) -> Acquisition:
    return read(case.write(folder, known), reading=given(case, known))


@pytest.fixture(scope="module")
def known() -> Known:
    return known_scan()


@every()
def test_the_layout_is_found(case, known, tmp_path):
    assert identify(case.write(tmp_path, known)).name == case.layout


@every()
def test_counts_positions_probe_mask_and_lengths(case, known, tmp_path):
    scan = found(case, tmp_path, known)
    np.testing.assert_allclose(scan.counts(), known.counts, rtol=1e-6)
    shift = scan.positions - known.positions
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-6)
    assert np.array_equal(scan.mask, ~known.bad if case.mask else np.ones_like(known.bad))
    if case.modes:
        truth = known.probe[: case.modes]
        assert scan.probe.shape == truth.shape
        scale = np.vdot(truth, scan.probe) / np.vdot(truth, truth)
        np.testing.assert_allclose(scan.probe, scale * truth, atol=1e-5 * np.abs(scan.probe).max())
    for name in ("energy", "distance", "detector_pixel", "object_pixel"):
        value = getattr(scan.geometry, name) if scan.geometry else None
        if name in case.lengths or case.asks:
            np.testing.assert_allclose(value, getattr(known, name), rtol=1e-6, err_msg=name)
        else:
            assert value is None


def deviance(counts: np.ndarray, expected: np.ndarray, bad: np.ndarray) -> float:
    """Return the mean Poisson deviance 2 (e - c + c ln(c / e)) of a pixel where enough is expected; 1 for the truth."""
    seen = (expected > ENOUGH) & ~bad
    c, e = counts[seen].astype(float), expected[seen]
    return float(np.mean(2 * (e - c + c * np.log(np.maximum(c, 1e-9) / e))))


def misfit(scan: Acquisition, known: Known) -> float:
    """Return the deviance of the true object and probe at the positions of a scan, laid on the true ones."""
    positions = np.rint(scan.positions - scan.positions.mean(axis=0) + known.positions.mean(axis=0))
    return deviance(scan.counts(), expected_counts(known.probe, known.object_, positions), known.bad)


@every()
def test_the_true_object_explains_the_counts_at_the_positions(case, known, tmp_path):
    assert misfit(found(case, tmp_path, known), known) == pytest.approx(1, abs=0.1)


MISREAD = {
    "patterns transposed": lambda known: replace(known, counts=known.counts.swapaxes(1, 2)),
    "columns mirrored": lambda known: replace(known, counts=known.counts[:, :, ::-1]),
    "rows mirrored": lambda known: replace(known, counts=known.counts[:, ::-1]),
    "x for y": lambda known: replace(known, positions=known.positions[:, ::-1]),
    "sign of both": lambda known: replace(known, positions=-known.positions),
    "sign of x": lambda known: replace(known, positions=known.positions * [1, -1]),
    "another order": lambda known: replace(known, positions=known.positions[::-1]),
}


@every()
def test_misreading_would_not_pass(case, known, tmp_path):
    for name, misread in MISREAD.items():
        (tmp_path / name).mkdir()
        assert misfit(found(case, tmp_path / name, misread(known)), known) > 10, name


def test_every_layout_has_a_case():
    assert {layout.name for layout in LAYOUTS} - {case.layout for case in CASES.values()} == {
        "npz of PtychoPINN",
        "npz of tike",
        # in test_layouts.py, where scans lie between pixels and have an object
        "CXI",
        "training data of Ptychodus",
        "product of Ptychodus",
        "diffraction of Ptychodus",
    }
