"""What a reconstruction says of itself where something is wrong that no truth is there to show."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from ptycho.config.refinement import Refinement
from ptycho.metrics.summary import compare
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.pinn.pinn import PtychoPINN
from tests.laws.scans import small_scan

SCAN = small_scan(n_positions=100, photons=1e5, overlap=0.8, object="dead_leaves")


class Transparent(nn.Module):
    """A network that sees nothing: all is left to the iterations."""

    def forward(self, images):
        return torch.ones(images.shape, dtype=torch.complex64)


def checked(scan=SCAN, probe=SCAN.probe):
    """Return the result for a scan with a probe that may be wrong."""
    scale = 16 / float(scan.counts_per_frame().mean()) ** 0.5
    pinn = PtychoPINN(Transparent(), torch.from_numpy(probe), scale, back_projected=False)
    return reconstruct(pinn, scan, device=torch.device("cpu"), refinement=Refinement(40), check=True)


@pytest.fixture(scope="module")
def sound():
    return checked()


def typical(result):
    said = result.check.as_dict()
    return np.array([said["typical_amplitude_deviation"], said["typical_phase_deviation"]])


def test_errors_are_as_large_as_their_deviations_say(sound):
    found = compare(sound.final, SCAN.object_)
    first = np.round(found.origin - sound.final.origin).astype(int)
    box = tuple(slice(start, start + n) for start, n in zip(first, found.mask.shape, strict=True))
    errors = (
        np.abs(found.aligned.image) - np.abs(found.reference),
        np.angle(found.aligned.image * found.reference.conj()),
    )
    for error, name in zip(errors, ("amplitude_deviation", "phase_deviation"), strict=True):
        deviation = getattr(sound.check, name)[box] / (found.aligned.scale if name == "amplitude_deviation" else 1)
        known = found.mask & np.isfinite(deviation)
        # Halves of 50 frames barely overlap: they are worse than their light says, and claims up to a third too large.
        assert 0.6 < np.mean(np.abs(error) < deviation, where=known) < 0.82


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_sound_scan_raises_no_alarm(seed):
    found = checked(small_scan(seed, n_positions=100, photons=1e5, overlap=0.8, object="dead_leaves"))
    assert found.check.verdict == "Photon noise explains how the frames fit."


def test_a_sound_scan_fits_and_comes_near_its_limit(sound):
    said = sound.check.as_dict()
    assert said["verdict"] == "Photon noise explains how the frames fit."
    assert abs(said["misfit"]) < 0.5
    assert said["n_bad_frames"] == 0
    assert abs(said["median_z"]) < 3
    assert said["share_of_frames_with_z_above_3"] < 0.1
    limits = 10 ** (-np.array([said["limit_amplitude_db"], said["limit_phase_db"]]) / 20)
    assert (0.5 * limits < typical(sound)).all()
    assert (typical(sound) < 2 * limits).all()


def test_a_few_corrupt_frames_are_named(sound):
    patterns = SCAN.patterns.copy()
    patterns[[7, 60]] = patterns[[60, 7]]
    patterns[33] = np.random.default_rng(0).poisson(patterns[33].mean(), patterns[33].shape)
    found = checked(dataclasses.replace(SCAN, patterns=patterns))
    assert {7, 33, 60} <= set(found.check.worst.indices[:4].tolist())
    assert found.check.z[[7, 33, 60]].min() > 10
    assert {7, 33, 60} <= set(found.check.bad_frames.tolist())
    assert "bad frames" in found.check.verdict
    assert (typical(found) > 1.1 * typical(sound)).all()


def test_a_wrong_probe_fits_no_frame_and_widens_the_deviations(sound):
    spectrum = np.fft.fft2(SCAN.probe)
    turns = np.fft.fftfreq(32)
    defocused = np.fft.ifft2(spectrum * np.exp(60j * np.hypot(turns[:, None], turns) ** 2)).astype(np.complex64)
    found = checked(probe=defocused)
    assert found.check.as_dict()["share_of_frames_with_z_above_3"] > 0.9
    assert "as a whole" in found.check.verdict
    assert (typical(found) > 2 * typical(sound)).all()


def test_a_drift_shows_in_frames_and_deviations(sound):
    drift = np.linspace(0, 4, len(SCAN.positions))[:, None] * np.array([1.0, -0.5])
    found = checked(dataclasses.replace(SCAN, positions=SCAN.positions + drift))
    assert found.check.as_dict()["median_z"] > sound.check.as_dict()["median_z"] + 3
    assert "as a whole" in found.check.verdict
    assert (typical(found) > 1.1 * typical(sound)).all()


def test_what_is_wrong_with_all_frames_shows_though_it_is_small_in_each():
    scan = small_scan(n_positions=100, photons=1e3, overlap=0.8, object="dead_leaves")
    assert "as a whole" not in checked(scan).check.verdict
    moved = scan.positions + np.random.default_rng(1).normal(size=scan.positions.shape)
    found = checked(dataclasses.replace(scan, positions=moved)).check
    assert np.median(found.z) < 3
    assert "as a whole" in found.verdict
