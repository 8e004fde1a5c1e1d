"""How fast to learn, and how large a step may be."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.training.clipping import SMALLEST_NORM, clip, clip_adaptively, clip_limit
from ptycho_torch.training.schedules import make_optimizer, make_scheduler, warm_up_cosine

EXECUTION = PyTorchExecutionConfig(learning_rate=0.02)


def config_of(**choices):
    return TrainingConfig(ModelConfig(), **choices)


def parameter():
    return [torch.nn.Parameter(torch.ones(3))]


def rates(config, n_steps):
    """The learning rate of every step of a run, and the one after it."""
    optimizer = make_optimizer(parameter(), config, EXECUTION)
    scheduler = make_scheduler(optimizer, config, n_steps)
    found = []
    for _ in range(n_steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@given(n_steps=st.integers(1, 80), share=st.floats(0, 1), end=st.floats(0.01, 1))
def test_a_warm_up_rises_and_a_cosine_falls_to_its_end(n_steps, share, end):
    n_warm = max(1, round(share * n_steps))
    factors = [warm_up_cosine(n_steps, n_warm, end)(step) for step in range(n_steps + 1)]
    rise, fall = factors[:n_warm], factors[n_warm - 1 :]
    assert all(0 < a < b <= 1 for a, b in itertools.pairwise(rise))
    assert rise[-1] == pytest.approx(1)
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(fall))
    assert warm_up_cosine(n_steps, n_warm, end)(max(n_steps, n_warm + 1)) == pytest.approx(end)


@pytest.mark.parametrize("name", ["Default", "WarmupCosine"])
def test_the_default_schedule_warms_up_for_a_share_of_the_run_or_for_given_epochs(name):
    found = rates(config_of(scheduler=name, nepochs=10, lr_min_ratio=0.25), 200)
    assert found.index(max(found)) == 200 * 4 // 100 - 1
    assert found[-1] == pytest.approx(0.25 * 0.02)
    found = rates(config_of(scheduler=name, nepochs=10, lr_warmup_epochs=3), 200)
    assert found.index(max(found)) == 3 * 20 - 1
    assert max(found) == pytest.approx(0.02)


def test_the_exponential_schedule_has_one_ratio_and_ends_where_it_is_told():
    found = rates(config_of(scheduler="Exponential", lr_min_ratio=0.05), 40)
    assert found[0] == pytest.approx(0.02)
    assert found[-1] == pytest.approx(0.05 * 0.02)
    ratios = [b / a for a, b in itertools.pairwise(found)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))


def test_a_plateau_watches_a_loss_and_halves_the_rate():
    config = config_of(
        scheduler="ReduceLROnPlateau",
        plateau_factor=0.5,
        plateau_patience=1,
        plateau_min_lr=0.004,
        plateau_threshold=0.1,
    )
    optimizer = make_optimizer(parameter(), config, EXECUTION)
    scheduler = make_scheduler(optimizer, config, 10)
    assert isinstance(scheduler, ReduceLROnPlateau)
    found = []
    for loss in (1.0, 0.95, 0.94, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
        scheduler.step(loss)
        found.append(optimizer.param_groups[0]["lr"])
    # Falls of less than a tenth are no progress; two epochs without any halve the rate, down to the smallest.
    assert found[:4] == pytest.approx([0.02, 0.02, 0.01, 0.01])
    assert found[-1] == pytest.approx(0.004)


@pytest.mark.parametrize(("name", "kind"), [("adam", Adam), ("adamw", AdamW), ("sgd", SGD)])
def test_the_optimiser_is_the_configured_one(name, kind):
    choices = {"weight_decay": 0.03, "momentum": 0.7, "adam_beta1": 0.8, "adam_beta2": 0.95}
    optimizer = make_optimizer(parameter(), config_of(optimizer=name, **choices), EXECUTION)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert group["lr"] == 0.02
    assert group["weight_decay"] == 0.03
    assert group["momentum"] == 0.7 if name == "sgd" else group["betas"] == (0.8, 0.95)


@pytest.mark.parametrize(
    ("training", "machine", "limit"),
    [(None, None, 1.0), (0.3, None, 0.3), (0.3, 0.7, 0.7), (0.3, 0.0, 0.0), (0.0, None, 0.0)],
)
def test_the_machine_s_limit_wins_over_the_training_s(training, machine, limit):
    execution = PyTorchExecutionConfig(gradient_clip_val=machine)
    assert clip_limit(config_of(gradient_clip_val=training), execution) == limit


def with_gradient(weights, gradient):
    made = torch.nn.Parameter(weights)
    made.grad = gradient.clone()
    return made


def test_adaptive_clipping_holds_every_row_against_its_weights():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(5, 3, 2, 2, generator=generator)
    weights[4] = 0
    gradient = (
        torch.randn(5, 3, 2, 2, generator=generator) * torch.tensor([10.0, 1e-4, 3.0, 1e-3, 7.0])[:, None, None, None]
    )
    parameter = with_gradient(weights, gradient)
    clip_adaptively([parameter, torch.nn.Parameter(torch.ones(2))], 0.1)
    for row in range(5):
        allowed = 0.1 * max(float(weights[row].norm()), SMALLEST_NORM)
        before, after = gradient[row], parameter.grad[row]
        torch.testing.assert_close(after, before * min(1.0, allowed / float(before.norm())))


def test_a_bias_is_one_row():
    bias = with_gradient(torch.tensor([0.0, 3.0, 4.0]), torch.tensor([0.0, 0.0, 100.0]))
    clip_adaptively([bias], 0.2)
    torch.testing.assert_close(bias.grad, torch.tensor([0.0, 0.0, 1.0]))


@pytest.mark.parametrize(("algorithm", "limit", "left"), [("norm", 5.0, 2.5), ("value", 0.3, 0.3), ("agc", 0.1, 0.1)])
def test_each_way_of_clipping_holds_its_own_measure(algorithm, limit, left):
    parameter = with_gradient(torch.full((2, 2), 2**-0.5), torch.full((2, 2), 1e6))
    clip([parameter], limit, algorithm)
    expected = left / 2**0.5 if algorithm == "agc" else left
    torch.testing.assert_close(parameter.grad, torch.full((2, 2), expected))


@pytest.mark.parametrize("algorithm", ["norm", "value", "agc"])
def test_a_limit_of_zero_clips_nothing(algorithm):
    parameter = with_gradient(torch.ones(2, 2), torch.full((2, 2), 1e6))
    clip([parameter], 0, algorithm)
    assert (parameter.grad == 1e6).all()
