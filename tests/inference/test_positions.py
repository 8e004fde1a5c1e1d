"""Positions that the scan has wrong: found from the patterns, and left alone where these say nothing."""

import dataclasses

import numpy as np
import torch

from ptycho.config.refinement import Refinement, Span
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.iterate import iterate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.search import FARTHEST, Tries, search
from ptycho_torch.physics.forward import place_on_canvas
from tests.laws.scans import small_scan

CPU = torch.device("cpu")
SCAN = small_scan(n_positions=120, photons=1e6)


def misplaced(acquisition, px, seed=0):
    """The scan with normal errors in its positions, of so many px rms in y and x together."""
    errors = np.random.default_rng(seed).normal(size=acquisition.positions.shape) * px / 2**0.5
    return dataclasses.replace(acquisition, positions=acquisition.positions + errors)


def distance(positions):
    """Distances from the true positions, px, after the shift that all frames share."""
    off = positions - SCAN.positions
    return np.hypot(*(off - np.median(off, axis=0)).T)


def test_no_iterations_give_the_positions_of_the_scan_back():
    wrong = misplaced(SCAN, 2.0)
    found = iterate(wrong, device=CPU, refinement=Refinement(0, positions=Span())).final
    assert np.array_equal(found.corrected_positions, wrong.positions)
    assert np.array_equal(found.positions, wrong.positions)
    assert found.corrected_positions.dtype == np.float64
    assert iterate(wrong, device=CPU, refinement=Refinement(0)).final.corrected_positions is None


def test_wrong_positions_are_found_from_a_flat_start():
    wrong = misplaced(SCAN, 2.0)
    found = iterate(wrong, device=CPU, refinement=Refinement(60, positions=Span(5), total_variation=0.0)).final
    assert np.array_equal(found.positions, wrong.positions)
    assert np.abs((found.corrected_positions - wrong.positions).mean(axis=0)).max() < 1e-9
    assert np.sqrt(np.mean(distance(wrong.positions) ** 2)) > 1.8
    assert np.sqrt(np.mean(distance(found.corrected_positions) ** 2)) < 0.2


def truth_with_margin(positions):
    """The likelihood of the scan at some positions, the true object with room around it, and their places on it."""
    scan = Scan.of(dataclasses.replace(SCAN, positions=positions))
    placement, origin = place_on_canvas(scan.positions, 32, margin=9)
    top, left = (origin + 16).tolist()
    height, width = placement.object_shape
    object_ = np.pad(SCAN.object_, 16, constant_values=1)[top : top + height, left : left + width]
    at = Estimate(torch.from_numpy(object_.copy()), torch.from_numpy(SCAN.probe), positions=placement.positions)
    return Likelihood(scan, placement, held_out_fraction=0.0), at, torch.from_numpy(SCAN.positions) - origin


def test_every_frame_goes_to_the_place_that_explains_it():
    steps = np.random.default_rng(3).integers(-2, 3, SCAN.positions.shape)
    law, at, true = truth_with_margin(SCAN.positions + 0.5 * steps)
    found = search(law, at, at.positions, Tries(2, 0.5)).positions
    assert torch.allclose(found, true, atol=1e-5)
    assert torch.equal(
        search(law, dataclasses.replace(at, positions=true), at.positions, Tries(2, 0.5)).positions, true
    )


def test_a_frame_without_light_stays():
    law, at, _ = truth_with_margin(SCAN.positions)
    dark = dataclasses.replace(law.scan, patterns=torch.zeros_like(law.scan.patterns))
    law = Likelihood(dark, law.placement, held_out_fraction=0.0)
    at = dataclasses.replace(at, probe=at.probe * 1e-4)
    assert torch.equal(search(law, at, at.positions, Tries(2, 1.0)).positions, at.positions)


def test_none_goes_farther_than_allowed():
    law, at, true = truth_with_margin(SCAN.positions)
    home = true - torch.tensor([0.0, 9.5])
    at = dataclasses.replace(at, positions=true - torch.tensor([0.0, 2.0]))
    found = search(law, at, home, Tries(3, 1.0)).positions
    assert float((found - home).abs().max()) == FARTHEST
    assert float((true - home).abs().max()) > FARTHEST
