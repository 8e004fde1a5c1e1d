"""Likelihood iterations without a network."""

import dataclasses

import numpy as np
import pytest
import torch

from ptycho.base.errors import DataError
from ptycho.config.refinement import Refinement, Span
from ptycho.metrics.summary import compare
from ptycho_torch.inference.iterate import iterate
from tests.laws.scans import defocused, likeness, small_scan

CPU = torch.device("cpu")
SCAN = small_scan(n_positions=60, photons=1e6)


def test_a_flat_start_ends_on_the_pixels_of_the_truth():
    done = iterate(SCAN, device=CPU, refinement=Refinement(40))
    assert compare(done.final, SCAN.object_, shift=False, ramp=False).complex_nrmse < 0.02
    assert done.iterations == 40
    assert np.ptp(np.abs(done.stitched.object_[done.stitched.coverage > 0])) < 1e-6


def test_it_goes_on_from_an_earlier_result_wherever_its_canvas_lies():
    first = iterate(SCAN, device=CPU, refinement=Refinement(15)).final
    again = iterate(SCAN, device=CPU, refinement=Refinement(), start=first)
    lit = first.coverage > 0
    assert np.array_equal(again.stitched.object_[lit], first.object_[lit])
    part = SCAN.part(np.arange(30))
    inside = iterate(part, device=CPU, refinement=Refinement(), start=first).stitched
    top, left = (inside.origin - first.origin).astype(int)
    height, width = inside.object_.shape
    there = first.object_[top : top + height, left : left + width]
    both = (inside.coverage > 0) & (there != 0)
    assert both.mean() > 0.5
    assert np.array_equal(inside.object_[both], there[both])


def test_what_has_no_span_is_held_fixed():
    wrong = dataclasses.replace(SCAN, probe=SCAN.probe * np.exp(0.3j * np.sin(np.arange(32) / 5)).astype(np.complex64))
    start = iterate(wrong, device=CPU, refinement=Refinement(10)).final
    probe_alone = iterate(wrong, device=CPU, refinement=Refinement(4, object=None, probe=Span()), start=start)
    lit = start.coverage > 1e-3 * start.coverage.max()
    assert np.array_equal(probe_alone.final.object_[lit], probe_alone.stitched.object_[lit])
    assert not np.array_equal(probe_alone.final.probe, wrong.probe)
    curve = iterate(wrong, device=CPU, refinement=Refinement(6, object=None, probe=Span(3)), start=start).final.history
    assert len(set(curve["deviance"][:4])) == 1
    assert curve["deviance"][4] < curve["deviance"][3]


def test_a_probe_far_out_of_focus_is_found():
    """Values scaled by the probe as it was at first converge slowly, and to no good probe."""
    scan = small_scan(n_positions=100, probe="zone_plate")
    true = torch.from_numpy(scan.probe)
    wrong = defocused(true, 25.0)
    assert likeness(wrong, true) < 0.99
    found = iterate(
        dataclasses.replace(scan, probe=wrong.numpy()), device=CPU, refinement=Refinement(100, probe=Span(5))
    )
    assert likeness(torch.from_numpy(found.final.probe), true) > 0.9995


ALL = Refinement(
    12, positions=Span(2), flux=Span(), background=Span(), probe=Span(4), probe_variation=Span(6), n_variations=1
)


def misplaced(scan=SCAN):
    """Return a scan whose frames lie elsewhere than it says."""
    rng = np.random.default_rng(0)
    moved = scan.positions + rng.normal(size=scan.positions.shape)
    return dataclasses.replace(scan, positions=moved)


def test_it_goes_on_with_all_that_was_refined():
    scan = misplaced()
    first = iterate(scan, device=CPU, refinement=ALL)
    again = iterate(scan, device=CPU, refinement=Refinement(), start=first.final)
    assert np.abs(first.final.corrections).max() > 1
    # Patches are cut anew around the positions, and the light at the rim of a probe is cut elsewhere.
    assert again.deviance == pytest.approx(first.deviance, rel=0.01)
    for said in (again.stitched, again.final):
        np.testing.assert_allclose(said.corrected_positions, first.final.corrected_positions, atol=1e-6)
        np.testing.assert_allclose(
            said.origin - first.final.origin, np.rint(said.origin - first.final.origin), atol=1e-6
        )
        np.testing.assert_allclose(said.flux, first.final.flux, rtol=1e-5)
        assert said.background == pytest.approx(first.final.background, rel=1e-5)
        np.testing.assert_array_equal(said.variation_weights, first.final.variation_weights)
    further = iterate(scan, device=CPU, refinement=ALL, start=first.final)
    assert further.deviance < first.deviance
    assert further.final.history["deviance"][0] == pytest.approx(first.deviance, rel=0.01)


def test_what_was_refined_of_other_frames_is_refused():
    first = iterate(misplaced(), device=CPU, refinement=Refinement(3, positions=Span(), flux=Span())).final
    with pytest.raises(
        DataError, match=r"positions and flux of 60 frames, which are not the 30 of this scan; expected"
    ):
        iterate(misplaced().part(np.arange(30)), device=CPU, refinement=Refinement(), start=first)
