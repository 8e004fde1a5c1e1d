"""True patches: cut where the forward model looks, the same in whatever company, unknown outside the object."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho.assembly.bilinear import cut
from ptycho.simulation.simulate import expected_counts
from ptycho_torch.physics.forward import detector
from ptycho_torch.physics.subpixel import SubpixelShift
from ptycho_torch.pinn.labels import CutLabels, StoredLabels, labels_of
from tests.laws.scans import small_scan

SCAN = small_scan(n_modes=2)
CPU = torch.device("cpu")
EVERY = torch.arange(SCAN.n_positions)


def whole_patches(scan, members):
    return cut(scan.object_, np.floor(scan.positions[members]), scan.size)


@given(seed=st.integers(0, 999), size=st.sampled_from([1, 4, 9]))
def test_a_member_has_its_own_patch_whatever_group_it_is_in(seed, size):
    """No mirror about the mean of a group: each patch is the object around its own position."""
    group = np.random.default_rng(seed).choice(SCAN.n_positions, size, replace=False)
    truth = labels_of(SCAN, CPU).at(torch.from_numpy(group))
    np.testing.assert_array_equal(truth.patches, whole_patches(SCAN, group))
    np.testing.assert_allclose(truth.remainder, SCAN.positions[group] % 1, atol=1e-6)
    assert truth.known.all()


def test_labels_expect_the_counts_that_the_scan_was_made_with():
    truth = labels_of(SCAN, CPU).at(EVERY)
    probe = SubpixelShift(truth.remainder, SCAN.size).spread(torch.from_numpy(SCAN.probe))
    found = detector(probe)(truth.patches)
    expected = expected_counts(SCAN.object_, SCAN.probe, SCAN.positions)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("shift", [(-20.0, 0.0), (0.0, 25.0), (-300.0, 0.0)])
def test_outside_the_object_nothing_is_known(shift):
    moved = dataclasses.replace(SCAN, positions=SCAN.positions + np.array(shift))
    truth = labels_of(moved, CPU).at(EVERY)
    inside = cut(np.ones_like(SCAN.object_), np.floor(moved.positions), SCAN.size) == 1
    assert not inside.all()
    np.testing.assert_array_equal(truth.known, inside)
    np.testing.assert_array_equal(truth.patches, whole_patches(moved, EVERY.numpy()))


def test_labels_of_the_file_win_over_the_object():
    own = np.arange(SCAN.n_positions)[:, None, None] * np.ones((SCAN.size, SCAN.size), np.complex64)
    labels = labels_of(dataclasses.replace(SCAN, labels=own.astype(np.complex64)), CPU)
    assert isinstance(labels, StoredLabels)
    truth = labels.at(torch.tensor([7, 3]))
    assert truth.patches[:, 0, 0].tolist() == [7, 3]
    assert truth.known.all()
    assert not truth.remainder.any()


def test_an_object_is_kept_once_and_not_per_position():
    labels = labels_of(SCAN, CPU)
    assert isinstance(labels, CutLabels)
    assert labels.object_.numel() < 0.2 * SCAN.n_positions * SCAN.size**2
