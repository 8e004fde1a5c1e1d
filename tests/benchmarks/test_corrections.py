"""What the benchmark of corrections does to a scan, and how it measures what is left."""

import numpy as np
import pytest
from corrections import misplaced, out_of_focus, position_error, probe_error

from ptycho.optics.probe import probe_diameter
from ptycho.simulation.probes import zone_plate
from ptycho.simulation.simulate import Simulation, simulate


def test_out_of_focus_and_back_is_the_same_probe_with_the_same_light():
    probe = zone_plate(64, 1e4)
    wrong = out_of_focus(probe, 0.3)
    assert probe_error(wrong, probe) > 0.3
    assert np.sum(np.abs(wrong) ** 2) == pytest.approx(1e4, rel=1e-4)
    assert probe_error(out_of_focus(wrong, -0.3), probe) < 1e-4
    # Without its defocus the beam is smaller than with any: the sign and the unit are those of the zone plate.
    assert probe_diameter(out_of_focus(probe, -1.0)) < min(probe_diameter(probe), probe_diameter(wrong))


def test_the_error_of_positions_is_what_was_added_less_what_nothing_can_know():
    scan = simulate(Simulation(N=32, n_positions=400), np.random.default_rng(0))
    moved = misplaced(scan, 3.0, np.random.default_rng(1)).positions
    assert position_error(moved, scan.positions) == pytest.approx(3.0, rel=0.1)
    assert position_error(scan.positions + np.array([3.0, -5.0]), scan.positions) < 1e-12
