"""The main job from end to end, on a scan that is small enough for every day."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write_npz
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement, Span
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence.bundle import write_bundle
from ptycho_torch.training.fit import fit
from tests.laws.scans import small_scan

NEW_PROCESS = """
import sys
from pathlib import Path
import torch
from ptycho.acquisition.readers import read
from ptycho.config.refinement import Refinement
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence.bundle import read_bundle
folder = Path(sys.argv[1])
scan = read(folder / "scan.npz")
refinement = Refinement(int(sys.argv[2]))
done = reconstruct(read_bundle(folder).pinn, scan, device=torch.device("cpu"), refinement=refinement)
done.final.write(folder / "reconstruction.npz")
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A folder with a scan file and a bundle trained on it, and the trained network."""
    folder = tmp_path_factory.mktemp("story")
    write_npz(folder / "scan.npz", small_scan(n_positions=100, photons=1e6))
    config = TrainingConfig(ModelConfig(N=32, lean_width=16), nepochs=30, batch_size=25, output_dir=folder)
    execution = PyTorchExecutionConfig(accelerator="cpu", learning_rate=2e-3)
    trained = fit(config, execution, read(folder / "scan.npz"))
    write_bundle(folder / "wts.h5.zip", trained.pinn, config)
    return folder, trained.pinn


@pytest.mark.parametrize("iterations", [0, 5])
def test_a_new_process_reconstructs_the_same_object(story, iterations):
    folder, pinn = story
    subprocess.run([sys.executable, "-c", NEW_PROCESS, folder, str(iterations)], check=True)
    there = Reconstruction.read(folder / "reconstruction.npz")
    scan, refinement = read(folder / "scan.npz"), Refinement(iterations)
    here = reconstruct(pinn, scan, device=torch.device("cpu"), refinement=refinement).final
    np.testing.assert_allclose(there.object_, here.object_, atol=1e-5)
    np.testing.assert_allclose(there.probe, here.probe, rtol=1e-5)
    assert there.origin.tolist() == here.origin.tolist()


def test_the_network_alone_is_far_from_flat_and_near_the_truth_and_iterations_finish_it(story):
    folder, pinn = story
    scan = read(folder / "scan.npz")
    done = reconstruct(pinn, scan, device=torch.device("cpu"), refinement=Refinement(30))
    network, final = (compare(found, scan.object_) for found in (done.stitched, done.final))
    flat = compare(dataclasses.replace(done.stitched, object_=np.ones_like(done.stitched.object_)), scan.object_)
    assert network.amplitude_psnr > flat.amplitude_psnr + 6
    assert network.phase_psnr > flat.phase_psnr + 6
    assert network.amplitude_std > 0.5 * network.reference_amplitude_std
    assert network.phase_std > 0.5 * network.reference_phase_std
    assert final.complex_nrmse < network.complex_nrmse


def test_a_new_scan_of_the_same_beam_needs_no_training(story):
    """Another object, other positions, a hundredth of the light: the trained network knows it at once."""
    _, pinn = story
    other = small_scan(seed=77, n_positions=100, photons=1e4)
    found = reconstruct(pinn, other, device=torch.device("cpu")).stitched
    network = compare(found, other.object_)
    flat = compare(dataclasses.replace(found, object_=np.ones_like(found.object_)), other.object_)
    assert network.complex_nrmse < 0.7 * flat.complex_nrmse


def test_a_network_and_iterations_find_frames_that_are_not_where_the_scan_says(story):
    folder, pinn = story
    scan = read(folder / "scan.npz")
    errors = np.random.default_rng(0).normal(size=scan.positions.shape)
    wrong = dataclasses.replace(scan, positions=scan.positions + errors)
    refinement = Refinement(40, positions=Span(5))
    found = reconstruct(pinn, wrong, device=torch.device("cpu"), refinement=refinement, check=True)
    off = found.final.corrected_positions - scan.positions
    before, after = (np.median(np.hypot(*(each - np.median(each, axis=0)).T)) for each in (errors, off))
    assert before > 1
    assert after < 0.2
    assert np.array_equal(found.final.positions, wrong.positions)
    assert found.stitched.corrected_positions is None
    assert compare(found.final, scan.object_).complex_nrmse < 0.3 * compare(found.stitched, scan.object_).complex_nrmse
    # The halves are laid on each other where the whole has them.
    assert found.check.as_dict()["frc_crossings"]["half_bit"] > 0.5
