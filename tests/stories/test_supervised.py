"""Learning from labels from end to end: what it gives, and that it is the labels that give it."""

import dataclasses

import numpy as np
import pytest
import torch

from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write_npz
from ptycho.assembly.bilinear import cut
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.optics.probe import probe_intensity
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence.bundle import read_bundle, write_bundle
from ptycho_torch.training.fit import fit
from tests.laws.scans import small_scan

SCAN = small_scan(n_positions=100, photons=1e6)


def stitched(scan, folder):
    """What a network that learned from ``scan`` makes of its patterns, by way of its file and its bundle."""
    model = ModelConfig(N=32, lean_width=16, model_type="supervised")
    config = TrainingConfig(model, nepochs=30, batch_size=25, output_dir=folder)
    execution = PyTorchExecutionConfig(accelerator="cpu", learning_rate=2e-3)
    write_npz(folder / "scan.npz", scan)
    trained = fit(config, execution, read(folder / "scan.npz"))
    write_bundle(folder / "wts.h5.zip", trained.pinn, config)
    bundle = read_bundle(folder)
    assert bundle.config.model.model_type == "supervised"
    return reconstruct(bundle.pinn, SCAN, device=torch.device("cpu")).stitched


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return stitched(SCAN, tmp_path_factory.mktemp("labels"))


def score(found):
    """Only the global phase is free: nothing is shifted, tilted or scaled."""
    return compare(found, SCAN.object_, shift=False, ramp=False, scale=False)


def test_the_object_agrees_with_the_truth_pixel_by_pixel(learned):
    found = score(learned)
    assert found.amplitude_pearson > 0.9
    assert found.phase_pearson > 0.9
    assert found.complex_nrmse < 0.1


def test_amplitude_and_probe_have_the_scale_of_the_labels(learned):
    found = score(learned)
    modulus, truth = (np.abs(image)[found.mask].mean() for image in (found.aligned.image, found.reference))
    assert modulus == pytest.approx(truth, rel=0.02)
    assert probe_intensity(learned.probe).sum() == pytest.approx(probe_intensity(SCAN.probe).sum(), rel=0.02)


def test_shuffled_labels_teach_much_less(learned, tmp_path):
    patches = cut(SCAN.object_, SCAN.positions, SCAN.size)
    shuffled = dataclasses.replace(SCAN, labels=np.random.default_rng(0).permutation(patches))
    misled, right = score(stitched(shuffled, tmp_path)), score(learned)
    assert misled.complex_nrmse > 2 * right.complex_nrmse
    assert misled.amplitude_pearson < 0.7
    assert misled.phase_pearson < 0.7
