import dataclasses

import numpy as np
import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.simulation.simulate import expected_counts
from ptycho_torch.data.batch import Batch
from ptycho_torch.data.stream import Draw, Pictures, SimulationStream
from ptycho_torch.physics.forward import stack_regions
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.pinn.pinn import Prediction
from ptycho_torch.pinn.simulated import distance, relative_errors, simulate


def draw(step: int = 0, photons: tuple[float, float] = (1e8, 1e9)) -> Draw:
    return SimulationStream(32, 2, 6, ("clouds",), photons, (0.5, 0.8), reuse=2, seed=0, n_steps=9)[step]


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
    assert float(distance(predicted(truth), truth)) == pytest.approx(0, abs=1e-3)
    torch.testing.assert_close(
        relative_errors(predicted(1.1 * truth), truth), torch.full((2,), 0.01), rtol=1e-3, atol=0
    )


def test_the_canvas_of_a_region_is_the_one_that_the_network_fills():
    drawn = draw(1)
    truth = simulate(drawn, Pictures()).truth
    assert (len(truth) * truth.shape[1], truth.shape[2]) == stack_regions(drawn.positions, 32).object_shape


@pytest.mark.parametrize("architecture", ["lean", "unrolled"])
def test_regions_of_any_exposure_do_not_disturb_each_other(architecture):
    """One region at a ten-millionth of the light of the other: each has the canvas that it has alone."""
    model = ModelConfig(N=32, lean_width=8, architecture=architecture)
    torch.manual_seed(0)
    drawn = draw()
    faint = torch.tensor([1.0, 10**-3.5])[:, None, None, None] * drawn.probe
    simulated = simulate(dataclasses.replace(drawn, probe=faint), Pictures())
    batch, probe, truth = simulated.batch, simulated.probe, simulated.truth
    pinn = build(model, TrainingConfig(model, intensity_scale_trainable=False), Constants.of_probe(probe[0])).eval()
    together = pinn(batch, probe).canvas.view(truth.shape)
    counts, light = batch.counts.view(2, 6, 32, 32), pinn(batch, probe).coverage.view(truth.shape)
    for region in range(2):
        alone = pinn(Batch(counts[region], batch.positions[region : region + 1]), probe[region : region + 1])
        height, width = alone.canvas.shape
        lit = light[region] > 1e-3 * light[region].amax()
        assert not lit[height:].any()
        found, expected = together[region, :height, :width], alone.canvas
        torch.testing.assert_close(found[lit[:height, :width]], expected[lit[:height, :width]], atol=1e-4, rtol=1e-4)


def test_a_network_behind_its_own_probe_needs_not_be_told():
    simulated = simulate(draw(), Pictures())
    one = simulated.probe[:1].expand(2, -1, -1, -1)
    model = ModelConfig(N=32, lean_width=8)
    pinn = build(model, TrainingConfig(model, intensity_scale_trainable=False), Constants.of_probe(one[0])).eval()
    told, own = pinn(simulated.batch, one), pinn(simulated.batch)
    lit = own.coverage > 1e-3 * own.coverage.amax()
    torch.testing.assert_close(told.canvas[lit], own.canvas[lit], atol=1e-4, rtol=1e-4)
