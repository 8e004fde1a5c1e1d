"""What a reconstruction says of itself where something is wrong that no truth is there to show."""

import dataclasses
import logging

import numpy as np
import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.pinn.labels import CutLabels
from ptycho_torch.pinn.pinn import PtychoPINN
from tests.laws.scans import small_scan
from tests.stubs import SaysPatches

SCAN = small_scan(n_positions=100, photons=1e5, overlap=0.8, object="dead_leaves")


class Transparent(SaysPatches):
    """A network that sees nothing: all is left to the iterations."""

    def forward(self, images):
        return torch.ones(images.shape, dtype=torch.complex64)


def checked(scan=SCAN, probe=SCAN.probe, iterations=40):
    """Return the result for a scan with a probe that may be wrong."""
    scale = 16 / float(scan.counts_per_frame().mean()) ** 0.5
    pinn = PtychoPINN(Transparent(), torch.from_numpy(probe), scale, back_projected=False)
    return reconstruct(pinn, scan, device=torch.device("cpu"), refinement=Refinement(iterations), check=True)


@pytest.fixture(scope="module")
def sound():
    return checked()


def typical(result):
    said = result.check.as_dict()
    return np.array([said["typical_amplitude_deviation"], said["typical_phase_deviation"]])


def coverage(results):
    """Return the shares of amplitudes and of phases of reconstructed scans that lie within their deviation."""
    inside = []
    for made, scan in results:
        found = compare(made.final, scan.object_)
        first = np.round(found.origin - made.final.origin).astype(int)
        box = tuple(slice(start, start + n) for start, n in zip(first, found.mask.shape, strict=True))
        amplitude, phase = made.check.amplitude_deviation[box] / found.aligned.scale, made.check.phase_deviation[box]
        known = found.mask & np.isfinite(phase)
        errors = (
            np.abs(found.aligned.image) - np.abs(found.reference),
            np.angle(found.aligned.image * found.reference.conj()),
        )
        pairs = zip(errors, (amplitude, phase), strict=True)
        inside.append([np.abs(error[known]) < deviation[known] for error, deviation in pairs])
    return np.mean(np.concatenate(inside, axis=1), axis=1)


@pytest.mark.parametrize("n_scans", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("object_", "photons"), [("lines", 1e4), ("lines", 1e6), ("dead_leaves", 1e6)])
def test_two_errors_in_three_are_within_their_deviation(object_, photons, n_scans):
    scans = [
        small_scan(seed, n_positions=160, photons=photons, overlap=0.87, object=object_) for seed in range(n_scans)
    ]
    inside = coverage([(checked(scan, scan.probe), scan) for scan in scans])
    assert (inside > 0.6).all()
    assert (inside < 0.76).all()


class Mistaken(SaysPatches):
    """A network that knows the patterns of a scan and says patches of an object that is the true one times a factor."""

    def __init__(self, scan, factor):
        super().__init__()
        wrong = (scan.object_ * factor).astype(np.complex64)
        patches = CutLabels.of(wrong, torch.from_numpy(scan.positions), scan.size)
        self.all_patches = patches.at(torch.arange(len(scan.positions))).patches
        amplitudes = torch.from_numpy(np.sqrt(scan.patterns, dtype=np.float32)).flatten(1)
        self.known = amplitudes / amplitudes.norm(dim=1, keepdim=True)

    def forward(self, images):
        nearest = (images.flatten(1) @ self.known.T).argmax(dim=1)
        return self.all_patches[nearest][:, None]


def mistaken(scan, factor, refinement):
    """Return the result for a scan, from a network whose object is wrong by a factor."""
    scale = 16 / float(scan.counts_per_frame().mean()) ** 0.5
    pinn = PtychoPINN(Mistaken(scan, factor), torch.from_numpy(scan.probe), scale, back_projected=False)
    return reconstruct(pinn, scan, device=torch.device("cpu"), refinement=refinement, check=True)


def test_a_network_alone_knows_how_wrong_it_is():
    results = []
    for seed in range(3):
        scan = small_scan(seed, n_positions=100, photons=1e5, overlap=0.8, object="dead_leaves")
        y, x = np.indices(scan.object_.shape)
        factor = 1 + 0.05 * np.sin(y / 4) + 0.2j * np.cos(x / 9 + y / 15)
        results.append((mistaken(scan, factor, Refinement()), scan))
    inside = coverage(results)
    assert (inside > 0.6).all()
    assert (inside < 0.76).all()


def test_a_mean_does_not_hide_what_its_network_gets_wrong():
    results = []
    for seed in range(2):
        scan = small_scan(seed, n_positions=100, photons=1e4, overlap=0.75)
        y, x = np.indices(scan.object_.shape)
        made = mistaken(scan, np.exp(0.1j * np.cos(x / 9 + y / 15)), Refinement(20))
        assert 0.1 < made.network_weight < 0.9
        results.append((made, scan))
    inside = coverage(results)
    assert (inside > 0.6).all()
    # Its amplitudes are the true ones, which nothing tells without a truth.
    assert (inside < 0.85).all()


FINE = "Photon noise explains how the frames fit."
HELD_BACK = "Photon noise, and what a prior or a network holds back, explain how the frames fit."


@pytest.mark.parametrize("seed", [1, 4, *(pytest.param(more, marks=pytest.mark.slow) for more in range(5, 13))])
@pytest.mark.parametrize(("photons", "overlap"), [(1e3, 0.9), (1e3, 0.95), (1e4, 0.6), (1e6, 0.9)])
def test_a_sound_scan_raises_no_alarm(seed, photons, overlap):
    scan = small_scan(seed, n_positions=100, photons=photons, overlap=overlap, object="dead_leaves")
    assert checked(scan, scan.probe, iterations=60).check.verdict in (FINE, HELD_BACK)


def test_what_a_prior_holds_back_is_told_from_a_wrong_model():
    scan = small_scan(5, n_positions=100, photons=1e3, overlap=0.95, object="dead_leaves")
    held_back = checked(scan).check
    assert held_back.misfit > 2
    assert held_back.free_misfit < -0.5
    assert held_back.verdict == HELD_BACK
    scan = small_scan(5, n_positions=100, photons=1e3, overlap=0.9, object="dead_leaves")
    moved = scan.positions + np.random.default_rng(5).normal(size=scan.positions.shape)
    wrong = checked(dataclasses.replace(scan, positions=moved)).check
    assert wrong.free_misfit > 0
    assert "as a whole" in wrong.verdict


def test_an_object_that_is_not_finished_is_not_what_a_prior_holds_back():
    scan = small_scan(1, n_positions=100, photons=1e3, overlap=0.9, object="dead_leaves")
    found = checked(scan, iterations=4).check
    assert found.in_doubt
    assert found.free_misfit is None
    assert "as a whole" in found.verdict


def test_without_a_prior_nothing_is_held_back():
    scan = small_scan(5, n_positions=100, photons=1e3, overlap=0.9, object="dead_leaves")
    scan = dataclasses.replace(scan, positions=scan.positions + np.random.default_rng(5).normal(size=(100, 2)))
    found = mistaken(scan, 1.0, Refinement(15, total_variation=0.0)).check
    assert found.free_misfit is None


def test_without_iterations_no_prior_holds_an_object_back():
    scan = small_scan(n_positions=100, photons=1e3, overlap=0.8, object="dead_leaves")
    y, x = np.indices(scan.object_.shape)
    found = mistaken(scan, 1 + 0.2 * np.sin(y / 4) + 0.2j * np.cos(x / 4), Refinement()).check
    assert found.in_doubt
    assert found.free_misfit is None
    assert "as a whole" in found.verdict


STRANGER = "the network does not know scans like this one"


@pytest.mark.parametrize("photons", [1e3, 1e6])
@pytest.mark.parametrize("iterations", [0, 3])
def test_a_network_that_says_little_more_than_a_transparent_object_is_reported(caplog, photons, iterations):
    scan = small_scan(n_positions=100, photons=photons, overlap=0.8, object="dead_leaves")
    with caplog.at_level(logging.WARNING):
        mistaken(scan, 1.0, Refinement(iterations))
        assert not caplog.records
        config = TrainingConfig(ModelConfig(N=32, lean_width=8))
        untrained = build(config.model, config, Constants.of(scan))
        reconstruct(untrained, scan, device=torch.device("cpu"), refinement=Refinement(iterations), check=True)
    (told,) = caplog.messages
    assert told.startswith(STRANGER)


def test_an_object_that_hardly_shows_does_not_make_a_network_strange(caplog):
    with caplog.at_level(logging.WARNING):
        checked(small_scan(n_positions=100, photons=30.0, overlap=0.6), iterations=3)
    assert not caplog.records


def test_a_sound_scan_fits_and_comes_near_its_limit(sound):
    said = sound.check.as_dict()
    assert said["verdict"] == FINE
    assert abs(said["misfit"]) < 0.5
    assert said["free_misfit"] is None, "nothing is in doubt"
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
