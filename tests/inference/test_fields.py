"""A canvas that is solved in fields is that which is solved in one piece."""

from dataclasses import replace

import numpy as np
import pytest

from ptycho.base.errors import ConfigError
from ptycho.base.mapped import is_mapped
from ptycho.config.refinement import Refinement, Span
from ptycho.metrics.summary import compare
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.inference.solve import Solver
from tests.inference.test_reconstruct import CPU, pinn_of
from tests.laws.scans import small_scan

SCAN, WIDE = (small_scan(n_positions=n, photons=1e5, overlap=0.6) for n in (150, 300))
PINN = pinn_of(SCAN)


@pytest.fixture
def in_fields(monkeypatch):
    """Every canvas is solved in fields of a few patches."""
    monkeypatch.setattr("ptycho_torch.inference.reconstruct.ONE_PIECE", 0)
    monkeypatch.setattr("ptycho_torch.inference.fields.SIDE", 32)


def whole(scan=SCAN, **choices):
    return reconstruct(PINN, scan, device=CPU, **choices)


def lit(reconstruction):
    return reconstruction.coverage > 0.05 * reconstruction.coverage.max()


@pytest.fixture(scope="module")
def stitched():
    return whole(WIDE)


@pytest.fixture(scope="module")
def refined():
    return whole(refinement=Refinement(10, total_variation=0.0))


def test_what_is_stitched_is_the_same(in_fields, stitched, tmp_path):
    found = whole(WIDE, scratch=tmp_path)
    assert is_mapped(found.final.object_)
    assert list(tmp_path.iterdir()) == []
    one, other = stitched.final, found.final
    np.testing.assert_array_equal(other.origin, one.origin)
    np.testing.assert_allclose(other.coverage, one.coverage, rtol=1e-4, atol=1e-4 * one.coverage.max())
    turn = np.vdot(other.object_[lit(one)], one.object_[lit(one)])
    factor = abs(turn) / np.square(np.abs(other.object_[lit(one)])).sum()
    # The scale of the object is found by the counts of the field in the middle.
    assert factor == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(factor * other.object_[lit(one)], one.object_[lit(one)], atol=1e-3)
    assert found.stitched is found.final
    assert found.deviance == pytest.approx(stitched.deviance, rel=0.1)
    assert len(found.field.positions) < WIDE.n_positions


def test_iterations_come_as_near_to_the_truth(in_fields, refined):
    found = whole(refinement=Refinement(10, total_variation=0.0))
    one, other = (compare(result.final, SCAN.object_) for result in (refined, found))
    assert other.complex_nrmse < 1.1 * one.complex_nrmse
    assert len(found.final.history["deviance"]) > 2
    # What was stitched is kept beside it.
    assert found.stitched.object_ is not found.final.object_
    assert found.stitched.history == {}


def test_what_is_found_of_every_frame_is_found_in_the_field_that_owns_it(in_fields):
    gain = 1 + 0.3 * np.sin(np.arange(SCAN.n_positions))
    scan = replace(SCAN, patterns=np.round(SCAN.patterns * gain[:, None, None]).astype(np.uint32))
    found = reconstruct(
        PINN, scan, device=CPU, refinement=Refinement(10, flux=Span(), positions=Span(6), total_variation=0.0)
    ).final
    assert np.sqrt(np.square(found.flux - gain / gain.mean()).mean()) < gain.std() / 2
    assert found.flux.mean() == pytest.approx(1)
    assert np.abs(found.corrections.mean(axis=0)).max() < 1e-9
    assert np.sqrt(np.square(found.corrections).mean()) < 0.3


def test_the_probe_is_one_and_found_in_the_middle(in_fields):
    found = whole(refinement=Refinement(10, probe=Span(), background=Span()))
    np.testing.assert_array_equal(found.final.probe, found.field.probe)
    assert found.final.background == found.field.background
    assert np.abs(found.final.probe - found.stitched.probe).max() > 0


def test_the_field_in_the_middle_is_checked(in_fields):
    found = whole(check=True)
    assert len(found.check.z) == len(found.field.positions)
    assert found.check.shot_noise.shape == found.field.object_.shape


def test_a_network_that_is_kept_in_the_middle_is_kept_everywhere(in_fields, monkeypatch):
    """Groups differ from field to field, and with them what the network says in the strips."""
    monkeypatch.setattr(Solver, "_beyond_doubt", lambda *_: False)
    monkeypatch.setattr(Solver, "_judged", lambda *_: 1.0)
    found = reconstruct(pinn_of(SCAN, gridsize=2), SCAN, device=CPU, refinement=Refinement(1))
    assert found.network_kept
    np.testing.assert_allclose(found.final.coverage, found.stitched.coverage, rtol=0.02, atol=1)
    np.testing.assert_allclose(found.final.object_, found.stitched.object_, rtol=1e-6)


def test_positions_are_found_everywhere_where_the_network_is_kept_in_the_middle(in_fields, monkeypatch):
    monkeypatch.setattr(Solver, "_beyond_doubt", lambda *_: False)
    monkeypatch.setattr(Solver, "_judged", lambda *_: 1.0)
    found = whole(refinement=Refinement(2, positions=Span()))
    assert found.network_kept
    assert len(np.unique(found.final.corrections, axis=0)) > 0.9 * SCAN.n_positions


def test_a_probe_that_changes_from_frame_to_frame_is_refused(in_fields):
    with pytest.raises(ConfigError, match="expected none where a canvas is solved in fields"):
        whole(refinement=Refinement(4, probe_variation=Span(), n_variations=1))
