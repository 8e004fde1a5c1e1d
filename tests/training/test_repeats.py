"""The same run gives the same bits, and how the work is cut into batches changes nothing."""

import numpy as np
import pytest
import torch

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.training.fit import fit
from tests.laws.scans import small_scan

SCAN = small_scan(n_positions=60)
CPU = torch.device("cpu")
ARCHITECTURES = ("lean", "unrolled")


def model_of(architecture, **choices):
    return ModelConfig(N=32, architecture=architecture, lean_width=16, **choices)


def trained(folder, architecture, **machine):
    config = TrainingConfig(model_of(architecture), batch_size=10, nepochs=2, output_dir=folder)
    return fit(config, PyTorchExecutionConfig(accelerator="cpu", enable_checkpointing=False, **machine), SCAN).pinn


def network(architecture, **choices):
    """A network that says something: a fresh one says next to nothing."""
    torch.manual_seed(0)
    model = model_of(architecture, **choices)
    pinn = build(model, TrainingConfig(model), Constants.for_network(model, SCAN))
    torch.nn.init.normal_(pinn.network.head.spread.weight, std=0.02)
    return pinn


def assert_same_bits(one, other):
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_training_repeats_itself_bit_by_bit(tmp_path, architecture, precision):
    one, other = (trained(tmp_path / name, architecture, precision=precision) for name in "ab")
    assert_same_bits(one, other)


def test_precision_is_that_of_the_network_and_the_weights_stay_single(tmp_path):
    full, mixed = (trained(tmp_path / name, "lean", precision=name) for name in ("32-true", "bf16-mixed"))
    assert all(tensor.dtype != torch.bfloat16 for tensor in mixed.state_dict().values())
    weights = [torch.cat([p.flatten() for p in pinn.parameters()]) for pinn in (full, mixed)]
    assert not torch.equal(*weights)
    torch.testing.assert_close(*weights, rtol=0.0, atol=0.1)


@pytest.mark.parametrize("deterministic", [True, False, "warn"])
def test_deterministic_is_asked_of_torch_while_training(tmp_path, deterministic, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "torch.use_deterministic_algorithms", lambda mode, *, warn_only=False: asked.append((mode, warn_only))
    )
    trained(tmp_path, "lean", deterministic=deterministic)
    assert ((True, deterministic == "warn") in asked) == bool(deterministic)
    assert (True, False) not in asked[-1:], "nothing is asked of what follows a training"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_reconstruction_repeats_itself_bit_by_bit(architecture):
    pinn = network(architecture)
    one, other = (reconstruct(pinn, SCAN, device=CPU, refinement=Refinement(3)).final.object_ for _ in range(2))
    np.testing.assert_array_equal(one, other)


def assert_alike(reconstructions):
    """Every pixel agrees to a few roundings of what was summed there: its amplitude times its light."""
    first, *others = ((found.object_, found.coverage / found.coverage.max()) for found in reconstructions)
    summed = np.prod(first, axis=0)
    lit = first[0][first[1] > 0.1]
    assert np.abs(lit - lit.mean()).max() > 0.05, "it says something"
    for other in others:
        np.testing.assert_allclose(other[1], first[1], rtol=0, atol=1e-6)
        np.testing.assert_allclose(np.prod(other, axis=0), summed, rtol=0, atol=1e-6 * np.abs(summed).max())


@pytest.mark.parametrize(("architecture", "gridsize"), [("lean", 1), ("lean", 2), ("unrolled", 1)])
def test_the_batch_size_does_not_change_a_reconstruction(architecture, gridsize):
    pinn = network(architecture, gridsize=gridsize)
    assert_alike([reconstruct(pinn, SCAN, device=CPU, batch_size=n).stitched for n in (60, 1, 7, 64)])


def test_the_number_of_threads_changes_a_reconstruction_by_rounding_only():
    pinn, threads, found = network("lean"), torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(reconstruct(pinn, SCAN, device=CPU).stitched)
    finally:
        torch.set_num_threads(threads)
    assert_alike(found)
