import numpy as np
import pytest

from ptycho.optics.probe import probe_diameter
from ptycho.simulation.variety import draw_contrast, draw_pictures, draw_positions, draw_probe


@pytest.mark.parametrize("n_modes", [1, 3])
def test_probes_have_unit_power_and_differ(n_modes):
    rng = np.random.default_rng(0)
    probes = [draw_probe(32, n_modes, rng) for _ in range(30)]
    for probe in probes:
        assert probe.shape == (n_modes, 32, 32)
        assert probe.dtype == np.complex64
        assert np.sum(np.abs(probe) ** 2) == pytest.approx(1, rel=1e-5)
    widths = [probe_diameter(probe) for probe in probes]
    assert max(widths) > 1.5 * min(widths)


def test_probes_leave_little_light_at_the_edge_of_a_patch():
    """Sub-pixel shifts are periodic: what lies on one edge would come back at the other."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        light = np.sum(np.abs(draw_probe(64, 1, rng)) ** 2, axis=0)
        assert light[2:-2, 2:-2].sum() > 0.98


def test_pictures_span_zero_to_one():
    pictures = draw_pictures((40, 40), ["lines", "clouds"], np.random.default_rng(2))
    np.testing.assert_allclose(pictures.min(axis=(1, 2)), 0)
    np.testing.assert_allclose(pictures.max(axis=(1, 2)), 1)


def test_positions_fit_and_overlap_as_asked():
    rng = np.random.default_rng(3)
    for _ in range(20):
        probe = draw_probe(64, 1, rng)
        tight = draw_positions(16, (0.8, 0.8), probe, 90.0, rng)
        loose = draw_positions(16, (0.5, 0.5), probe, 1000.0, rng)
        assert tight.min() >= 0
        assert tight.max() <= 90
        assert np.ptp(loose, axis=0).max() > np.ptp(tight, axis=0).max()


def test_contrasts_are_faint_and_strong():
    rng = np.random.default_rng(4)
    drawn = [draw_contrast(rng) for _ in range(200)]
    assert 0 <= min(each.absorption for each in drawn) < 0.02
    assert 1 < max(each.absorption for each in drawn) <= 1.5
    assert -2 <= min(each.phase for each in drawn) < -1.5
    assert 1.5 < max(each.phase for each in drawn) <= 2
