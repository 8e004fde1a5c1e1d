"""Every network of the registry obeys one contract."""

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ptycho.base.errors import ConfigError
from ptycho_torch.networks.registry import NETWORKS, NetworkChoices
from ptycho_torch.networks.unrolled import N_SEEN

GROUPED = [name for name, kind in NETWORKS.items() if kind.looks_at != "residual"]
SMALL = {"lean_width": 8, "filter_scale": 1, "amplitude_activation": "softplus"}


def network(name, size=64, channels=1, seed=0, **choices):
    torch.manual_seed(seed)
    return NETWORKS[name].make(NetworkChoices(size, channels, **(SMALL | choices)))


def amplitudes(size, channels=1, batch=2, seed=0):
    """What a network sees: positive, with the energy N^2 / 4 a pattern."""
    drawn = torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(seed)) ** 8
    return drawn * size / 2 / drawn.square().sum(dim=(2, 3), keepdim=True).sqrt()


def seen_by(name, size=64, channels=1, batch=2, seed=0):
    """What the network of that name looks at: amplitudes, real images of both signs, or these about a patch of 1."""
    looks_at = NETWORKS[name].looks_at
    n_images = {"amplitude": channels, "back projection": 2 * channels, "residual": N_SEEN}[looks_at]
    images = amplitudes(size, n_images, batch, seed)
    if looks_at == "amplitude":
        return images
    images = images - images.mean(dim=(2, 3), keepdim=True)
    if looks_at == "residual":
        images = 0.1 * images / images.amax()
        images[:, 0] += 1
    return images


def wake(net):
    """Give branches that start at zero a weight, as the first step of training does."""
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize(
    ("name", "channels"), [*((name, n) for name in GROUPED for n in (1, 4, 9, 16, 25)), ("unrolled", 1)]
)
def test_patterns_become_complex_patches_of_their_shape(name, size, channels):
    patches = network(name, size, channels)(seen_by(name, size, channels))
    assert patches.shape == (2, channels, size, size)
    assert patches.dtype == torch.complex64
    assert patches.isfinite().all()


@pytest.mark.parametrize(("name", "channels"), [*((name, n) for name in GROUPED for n in (1, 4)), ("unrolled", 1)])
def test_gradients_reach_every_parameter(name, channels):
    net = network(name, channels=channels)
    wake(net)
    patches = net(seen_by(name, channels=channels))
    target = torch.polar(torch.full(patches.shape, 0.4), torch.full(patches.shape, 2.0))
    (patches - target).abs().square().mean().backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_decides_the_network(name):
    seen = seen_by(name)
    once, again, other = (network(name, seed=seed).eval()(seen) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("name", NETWORKS)
def test_patterns_of_a_batch_do_not_hear_of_each_other(name):
    net = network(name)
    wake(net)
    seen = seen_by(name, batch=3)
    together = net(seen)
    torch.testing.assert_close(together[1:2], net(seen[1:2]), rtol=1e-4, atol=1e-5)
    assert not torch.equal(together[0], together[1]), "the network does not look at its input"


@pytest.mark.parametrize("name", GROUPED)
def test_members_of_a_group_hear_of_each_other(name):
    net = network(name, channels=4)
    wake(net)
    seen = seen_by(name, channels=4)
    changed = seen.clone()
    changed[:, 3] = changed[:, 3].flip(-1).roll(9, -2)
    assert not torch.equal(net(seen)[:, 0], net(changed)[:, 0])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("amplitude", "phase"), [(1.8, 2.4), (0.03, -2.6), (1.0, 1.7)])
def test_heads_can_say_any_transmission(name, amplitude, phase):
    """Phases beyond +-pi/2, amplitudes above 1 and near 0: a few steps of the last convolutions alone get there."""
    net = network(name)
    cnn = ["amplitude.centre", "amplitude.border", "phase.centre", "phase.border"]
    heads = {"lean": ["head"], "unrolled": ["head"], "cnn": cnn}[name]
    for parameter_name, parameter in net.named_parameters():
        parameter.requires_grad_(any(parameter_name.startswith(head) for head in heads))
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    seen = seen_by(name, batch=1)
    target = torch.polar(torch.tensor(amplitude), torch.tensor(phase))
    optimiser = torch.optim.Adam(trained, lr=0.1)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, total_iters=150)
    for _ in range(150):
        loss = (net(seen) - target).abs().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        slower.step()
    middle = net(seen).detach()[..., 24:40, 24:40]
    assert float((middle - target).abs().median()) < 0.1


def test_a_fresh_lean_network_says_transparent():
    patches = network("lean", lean_width=32)(seen_by("lean")).detach()
    assert float((patches - 1).abs().max()) < 0.05


def test_a_fresh_unrolled_network_takes_the_step_that_the_pattern_asks_for():
    seen = seen_by("unrolled")
    patches = network("unrolled", lean_width=32)(seen).detach()[:, 0]
    stepped = torch.complex(seen[:, 0] + seen[:, 2], seen[:, 1] + seen[:, 3])
    assert float((patches - stepped).abs().max()) < 0.05


def test_the_lean_network_is_small_and_its_depth_does_not_depend_on_the_size():
    counts = {size: sum(p.numel() for p in network("lean", size, lean_width=32).parameters()) for size in (64, 128)}
    assert counts[64] < 1_000_000
    # Only the learned positions of the N / 8 grid grow, 4 w features each.
    assert counts[128] - counts[64] == (16**2 - 8**2) * 4 * 32


@pytest.mark.parametrize("name", ["lean", "unrolled"])
def test_slim_levels_take_less_than_half_the_arithmetic_of_even_ones(name):
    def flops(levels):
        net = network(name, lean_width=32, lean_levels=levels)
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            net(seen_by(name))
        return counted.get_total_flops()

    assert flops("slim") < flops("even") / 2


@pytest.mark.parametrize("levels", ["slim", "even"])
@pytest.mark.parametrize("width", [1, 3, 8, 48])
def test_the_lean_network_takes_any_width(width, levels):
    assert network("lean", 32, lean_width=width, lean_levels=levels)(seen_by("lean", 32)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("size", [32, 40, 96])
def test_the_lean_network_takes_any_multiple_of_eight(size):
    assert network("lean", size)(seen_by("lean", size)).shape == (2, 1, size, size)


@pytest.mark.parametrize("size", [32, 96, 512])
def test_the_cnn_refuses_sizes_that_it_has_no_widths_for(size):
    with pytest.raises(ConfigError, match=rf"N is {size}.*64, 128 or 256.*lean") as refused:
        network("cnn", size)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("size", "gridsize", "scale", "without_border", "with_border"),
    [
        (64, 1, 1, 563_802, 585_244),
        (64, 2, 1, 566_184, 589_360),
        (64, 1, 2, 2_252_026, 2_331_772),
        (64, 2, 2, 2_257_000, 2_340_208),
        (128, 1, 2, 4_639_770, 4_661_212),
        (128, 2, 2, 4_643_880, 4_667_056),
        (256, 1, 2, 12_906_154, 12_912_268),
    ],
)
def test_the_cnn_has_the_parameters_of_the_reference(size, gridsize, scale, without_border, with_border):
    def count(**choices):
        with torch.device("meta"):
            net = network("cnn", size, gridsize**2, filter_scale=scale, **choices)
        return sum(parameter.numel() for parameter in net.parameters())

    assert count(border=False) == without_border
    assert count(border=True) == with_border


def test_the_cnn_without_padding_has_the_parameters_of_the_reference():
    net = network("cnn", 64, pad_object=False)
    assert sum(parameter.numel() for parameter in net.parameters()) == 600_866
    assert net(amplitudes(64)).shape == (2, 1, 64, 64)


def test_the_cnn_without_a_border_sees_the_central_half_only():
    patches = network("cnn", border=False)(amplitudes(64))
    outside = patches.clone()
    outside[..., 16:48, 16:48] = 0
    assert not outside.any()
    assert patches[..., 16:48, 16:48].abs().min() > 0


@pytest.mark.parametrize(
    ("activation", "least", "most"), [("sigmoid", 0, 1), ("softplus", 0, math.inf), ("relu", 0, math.inf)]
)
def test_amplitudes_of_the_cnn_stay_in_the_range_of_their_activation(activation, least, most):
    patches = network("cnn", amplitude_activation=activation, border=False)(100 * amplitudes(64)).detach()
    modulus = patches[..., 16:48, 16:48].abs()
    assert least <= float(modulus.min())
    assert float(modulus.max()) <= most


def test_the_registry_makes_modules():
    assert {type(network(name)).__name__ for name in NETWORKS} == {"Lean", "Unrolled", "Cnn"}
    assert all(isinstance(network(name), nn.Module) for name in NETWORKS)
