"""Patterns that stay in their file are those in memory, for whatever is made of them."""

import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write
from ptycho.base.errors import DataError
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.stored import StoredPatterns
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.training.datamodule import ScanDataModule, fingerprint
from ptycho_torch.training.fit import fit
from tests.laws.scans import small_scan


@pytest.fixture
def both(tmp_path) -> tuple[Acquisition, Acquisition]:
    """A scan in memory, and the same in a folder."""
    scan = small_scan(n_dead_pixels=20)
    write(tmp_path / "a.scan", scan)
    return scan, read(tmp_path / "a.scan")


def mapped(array, path) -> np.ndarray:
    np.save(path, array)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", "<f4", ">f8"])
def test_counts_are_those_of_the_scan_in_memory(tmp_path, dtype):
    scan = small_scan(n_dead_pixels=20)
    scan = replace(scan, patterns=np.minimum(scan.patterns, 250).astype(dtype), quantity="amplitude", count_scale=0.5)
    here = Scan.of(scan)
    there = Scan.of(replace(scan, patterns=mapped(scan.patterns, tmp_path / "patterns.npy")))
    assert isinstance(there.patterns, StoredPatterns)
    assert not isinstance(here.patterns, StoredPatterns)
    assert (len(there), there.size) == (len(here), here.size)
    for chosen in (torch.tensor([5, 2, 5]), slice(3, 9), slice(None)):
        assert torch.equal(there.counts(chosen), here.counts(chosen))
        assert torch.equal(there.middle(16).counts(chosen), here.middle(16).counts(chosen))
    for one, other in zip(there.split(0.3), here.split(0.3), strict=True):
        assert torch.equal(one.counts(slice(None)), other.counts(slice(None)))


def test_training_and_reconstruction_are_the_same_to_the_last_bit(tmp_path, both):
    fits = []
    for name, scan in zip(("memory", "folder"), both, strict=True):
        model = ModelConfig(N=scan.size, lean_width=8)
        config = TrainingConfig(model, nepochs=2, batch_size=8, output_dir=tmp_path / name)
        fits.append(fit(config, PyTorchExecutionConfig(accelerator="cpu", enable_progress_bar=False), scan))
    assert fits[0].history == fits[1].history
    assert fingerprint(both[0]) == fingerprint(both[1])
    refinement = Refinement(3, coarse_passes=1, passes=1)
    found = [
        reconstruct(fits[0].pinn, scan, device=torch.device("cpu"), refinement=refinement, check=True) for scan in both
    ]
    assert found[0].deviance == found[1].deviance
    np.testing.assert_array_equal(found[0].final.object_, found[1].final.object_)
    np.testing.assert_array_equal(found[0].check.deviance, found[1].check.deviance)


@pytest.mark.parametrize("view", [lambda scan: scan, lambda scan: scan.middle(16)])
def test_what_is_read_ahead_is_what_is_asked_for(both, view):
    here, there = (view(Scan.of(scan)) for scan in both)
    asked = [torch.tensor(some) for some in ([5, 2, 5], [1], [7, 3, 0], [1, 2], [9, 8])]
    promised = [asked[1], asked[2], asked[4], None, asked[0]]
    for some, then in zip(asked, promised, strict=True):
        assert torch.equal(there.counts(some, then), here.counts(some))


def test_a_file_that_became_shorter_is_told_where_it_was_read_ahead(tmp_path, both):
    scan = Scan.of(both[1])
    first, last = torch.arange(3), torch.arange(len(scan) - 3, len(scan))
    scan.counts(first)
    os.truncate(tmp_path / "a.scan" / "patterns.npy", 4096)
    scan.counts(torch.tensor([0]), last)
    with pytest.raises(DataError, match="became shorter while it was read"):
        scan.counts(last)


def test_every_step_names_the_next(tmp_path, both):
    model = ModelConfig(N=both[1].size, lean_width=8)
    config = TrainingConfig(model, batch_size=8, output_dir=tmp_path)
    steps = list(ScanDataModule(config, PyTorchExecutionConfig(), both[1], None, seed=0).train_dataloader())
    assert len(steps) > 2
    for step, following in pairwise(steps):
        assert torch.equal(step.then, following.groups.reshape(-1))
    assert steps[-1].then is None
