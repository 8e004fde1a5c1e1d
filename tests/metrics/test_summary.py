import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.errors import DataError
from ptycho.metrics.fourier import fourier_shift
from ptycho.metrics.summary import compare
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.probes import aperture
from ptycho.simulation.simulate import Simulation, simulate


def reconstruction_of(object_, probe, positions, origin=None):
    """The part of a true object that a scan covers, as a perfect reconstruction."""
    N = probe.shape[-1]
    corners = np.floor(positions).astype(int) - N // 2
    first = corners.min(axis=0)
    height, width = corners.max(axis=0) - first + N
    coverage = np.zeros((height, width), np.float32)
    for top, left in corners - first:
        coverage[top : top + N, left : left + N] += (np.abs(probe) ** 2).sum(axis=0)
    cut = object_[first[0] : first[0] + height, first[1] : first[1] + width]
    return Reconstruction(cut, coverage, first.astype(float) if origin is None else origin, probe, positions)


def changed(reconstruction, object_, origin=None):
    return Reconstruction(
        object_.astype(np.complex64),
        reconstruction.coverage,
        reconstruction.origin if origin is None else origin,
        reconstruction.probe,
        reconstruction.positions,
    )


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=32, n_positions=120, overlap=0.7), np.random.default_rng(0))


@pytest.fixture(scope="module")
def perfect(scan):
    return reconstruction_of(scan.object_, scan.probe, scan.positions)


@settings(max_examples=15, deadline=None)
@given(
    scale=st.floats(0.1, 10),
    phase=st.floats(-3, 3),
    ramp=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
)
def test_the_truth_with_free_ambiguities_is_perfect(scan, perfect, scale, phase, ramp):
    y, x = np.indices(perfect.object_.shape)
    image = scale * np.exp(1j * (phase + ramp[0] * y + ramp[1] * x)) * perfect.object_
    found = compare(changed(perfect, image), scan.object_)
    assert found.complex_nrmse < 1e-5
    assert found.amplitude_psnr > 90
    assert found.phase_ssim > 0.9999
    assert found.frc_half_bit == 1.0
    assert found.aligned.scale == pytest.approx(scale, rel=1e-4)
    np.testing.assert_allclose(found.aligned.phase_ramp, ramp, atol=1e-5)


def test_junk_outside_the_covered_region_does_not_count(scan, perfect):
    image = perfect.object_.copy()
    image[perfect.coverage < 0.02 * np.median(perfect.coverage)] = 1e4
    assert compare(changed(perfect, image), scan.object_).complex_nrmse < 1e-5


def test_a_wrong_origin_shows(scan, perfect):
    wrong = compare(changed(perfect, perfect.object_, perfect.origin + np.array([5, 0])), scan.object_)
    assert np.abs(wrong.aligned.shift).max() <= 2, "only a small shift is free"
    assert wrong.complex_nrmse > 0.05


@pytest.mark.parametrize("part", [(0.25, -0.4), (0.5, 0.0), (-0.49, 0.31)])
def test_origins_between_pixels_are_honoured(perfect, scan, part):
    moved = fourier_shift(scan.object_.astype(np.complex128), -np.array(part)).astype(np.complex64)
    reconstruction = reconstruction_of(moved, scan.probe, scan.positions, perfect.origin + part)
    found = compare(reconstruction, scan.object_, shift=False)
    assert found.complex_nrmse < 1e-5
    ignored = compare(changed(reconstruction, reconstruction.object_, perfect.origin), scan.object_, shift=False)
    assert ignored.complex_nrmse > 100 * found.complex_nrmse


def test_a_reference_with_its_own_origin(scan, perfect):
    found = compare(perfect, scan.object_[7:, 3:], (7.0, 3.0))
    assert found.complex_nrmse < 1e-5
    top, left = found.origin.astype(int)
    height, width = found.mask.shape
    np.testing.assert_allclose(found.reference, scan.object_[top : top + height, left : left + width], rtol=1e-6)


def test_two_reconstructions_are_compared_where_both_saw(scan):
    upper, lower = (
        reconstruction_of(scan.object_, scan.probe, scan.positions[keep])
        for keep in (scan.positions[:, 0] < 70, scan.positions[:, 0] > 45)
    )
    found = compare(upper, lower.object_, lower.origin, reference_coverage=lower.coverage)
    assert found.complex_nrmse < 1e-5
    rows = np.flatnonzero(found.mask.any(axis=1)) + found.origin[0]
    assert rows.min() > 45 - 20
    assert rows.max() < 70 + 20


def test_a_flat_answer_shows_as_flat(scan, perfect):
    found = compare(changed(perfect, np.ones_like(perfect.object_)), scan.object_, ramp=False)
    assert found.amplitude_std < 1e-6
    assert found.phase_std < 1e-6
    assert found.reference_amplitude_std > 0.05
    assert found.amplitude_pearson == 0
    assert found.amplitude_ssim < 0.6
    assert found.phase_ssim < 0.6
    assert found.frc_half == 0
    assert found.frc_low == 0


def test_more_noise_is_worse_by_every_measure(scan, perfect):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=perfect.object_.shape) + 1j * rng.normal(size=perfect.object_.shape)
    less, more = (compare(changed(perfect, perfect.object_ + s * noise), scan.object_) for s in (0.02, 0.1))
    assert less.complex_nrmse < more.complex_nrmse
    for name in ("amplitude_psnr", "phase_psnr", "amplitude_ssim", "phase_ssim", "amplitude_pearson", "phase_pearson"):
        assert getattr(less, name) > getattr(more, name), name
    assert less.frc_half_bit > more.frc_half_bit
    assert less.amplitude_psnr == pytest.approx(-20 * np.log10(0.02), abs=0.5)


def test_a_comparison_goes_into_json(scan, perfect):
    found = compare(perfect, scan.object_).as_dict()
    back = json.loads(json.dumps(found, allow_nan=False))
    assert back == found
    assert {"complex_nrmse", "frc", "removed", "n_pixels"} <= set(back)
    assert len(back["frc"]["frequency"]) == len(back["frc"]["correlation"])


def test_nothing_in_common_is_refused(scan, perfect):
    with pytest.raises(DataError, match="share no covered pixel"):
        compare(perfect, scan.object_, (10_000.0, 0.0))


def test_benchmark_lines():
    folder = Path(os.environ.get("PTYCHO_TEST_DATA", Path(__file__).parents[3] / "shared")) / "benchmark"
    if not folder.is_dir():
        pytest.skip(f"the shared benchmark is not at {folder}")
    with np.load(folder / "lines_test_newobj.npz", allow_pickle=False) as file:
        truth, probe = file["objectGuess"], file["probeGuess"][None]
        positions = np.stack([file["ycoords"], file["xcoords"]], axis=1)
    cut = reconstruction_of(truth, probe, positions)
    flat = compare(changed(cut, np.ones_like(cut.object_)), truth, shift=False, ramp=False)
    # A flat object scores 20.4 and 15.7 dB over the 150 px in the middle of this scan.
    assert flat.amplitude_psnr == pytest.approx(20.4, abs=0.5)
    assert flat.phase_psnr == pytest.approx(15.7, abs=0.5)
    assert compare(cut, truth).complex_nrmse < 1e-6


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_can_be_judged(name):
    object_ = OBJECTS[name]((90, 90), np.random.default_rng(2))
    positions = np.stack(np.meshgrid(np.arange(20.0, 70, 5), np.arange(20.0, 70, 5)), axis=-1).reshape(-1, 2)
    found = compare(reconstruction_of(object_, aperture(32, 1.0), positions), object_)
    assert found.complex_nrmse < 1e-5
