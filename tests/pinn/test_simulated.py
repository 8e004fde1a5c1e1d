import dataclasses

import numpy as np
import pytest
import torch

from ptycho.simulation.simulate import expected_counts
from ptycho_torch.data.stream import Draw, Pictures, SimulationStream
from ptycho_torch.physics.forward import stack_regions
from ptycho_torch.pinn.pinn import Prediction
from ptycho_torch.pinn.simulated import distance, relative_errors, simulate


def draw(step: int = 0, photons: tuple[float, float] = (1e8, 1e9)) -> Draw:
    return SimulationStream(32, 2, 6, ("clouds",), photons, (0.5, 0.8), seed=0, n_steps=9)[step]


def test_counts_scatter_about_what_the_numpy_core_expects():
    drawn = draw()
    simulated = simulate(drawn, Pictures())
    counts = simulated.batch.counts.view(2, 6, 32, 32).numpy()
    for region in range(2):
        positions = drawn.positions[region].numpy()
        origin = np.floor(positions).min(axis=0) - 16
        truth, probe = simulated.truth[region].numpy(), simulated.probe[region].numpy()
        expected = expected_counts(truth, probe, positions - origin)
        score = (counts[region] - expected) / np.sqrt(expected + 1)
        assert abs(score.mean()) < 0.02
        assert score[expected > 10].std() == pytest.approx(1, abs=0.05)


def test_probes_carry_the_mean_counts_and_objects_no_constant_phase():
    simulated = simulate(draw(photons=(1e3, 1e9)), Pictures())
    counts = simulated.batch.counts.view(2, 6, -1).sum(dim=2).mean(dim=1)
    power = simulated.probe.abs().square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(power, counts, rtol=1e-4, atol=0)


def test_noise_is_that_of_the_seed():
    drawn = draw(photons=(1e3, 1e4))
    once, again = (simulate(drawn, Pictures()).batch.counts for _ in range(2))
    other = simulate(dataclasses.replace(drawn, seed=drawn.seed + 1), Pictures()).batch.counts
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def predicted(canvas: torch.Tensor) -> Prediction:
    flat = canvas.flatten(0, 1)
    return Prediction(torch.zeros(1, 32, 32), flat, torch.ones(flat.shape))


def test_the_truth_is_at_no_distance():
    truth = simulate(draw(), Pictures()).truth
    assert float(distance(predicted(truth), truth)) == pytest.approx(-50)
    torch.testing.assert_close(
        relative_errors(predicted(1.1 * truth), truth), torch.full((2,), 0.01), rtol=1e-3, atol=0
    )


def test_the_canvas_of_a_region_is_the_one_that_the_network_fills():
    drawn = draw(1)
    truth = simulate(drawn, Pictures()).truth
    assert (len(truth) * truth.shape[1], truth.shape[2]) == stack_regions(drawn.positions, 32).object_shape
