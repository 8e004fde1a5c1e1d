"""A compiled body says what the plain one says, with the same weights under the same names."""

import copy
import functools

import pytest
import torch

from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.networks.lean import Lean
from ptycho_torch.networks.unrolled import Unrolled
from ptycho_torch.training.compiled import CompiledBody, pays


def compiled_and_plain(kind=Lean):
    torch.manual_seed(0)
    plain = kind(32, width=8)
    torch.nn.init.normal_(plain.head.spread.weight, std=0.1)
    compiled = copy.deepcopy(plain)
    compiled.said = CompiledBody(compiled)
    return compiled, plain


def results(network, x):
    said = network(x)
    said.abs().square().sum().backward()
    return said, [weight.grad for weight in network.parameters()]


@pytest.fixture
def through_dynamo(monkeypatch):
    """All of the compiler but the code that it makes, which takes long."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [Lean, Unrolled])
def test_a_compiled_body_says_what_the_plain_one_says(kind, backend, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    compiled, plain = compiled_and_plain(kind)
    channels = plain.stem.in_channels // 4
    x = torch.randn(4, channels, 32, 32).to(memory_format=torch.channels_last)
    (found, found_gradients), (expected, gradients) = results(compiled, x), results(plain, x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for one, other in zip(found_gradients, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert compiled.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.usefixtures("through_dynamo")
def test_other_shapes_and_validation_are_not_compiled(monkeypatch):
    compiled, plain = compiled_and_plain()
    compiled(torch.zeros(4, 2, 32, 32))
    monkeypatch.setattr(compiled.said, "_compiled", None)
    x = torch.randn(3, 2, 32, 32)
    assert torch.equal(compiled(x), plain(x))
    with torch.no_grad():
        assert compiled(torch.zeros(4, 2, 32, 32)).shape == (4, 1, 32, 32)


def test_a_compiler_that_fails_is_told_once_and_leaves_the_network_as_it_is(monkeypatch, caplog):
    def broken(_function, **_choices):
        def fail(_x):
            raise RuntimeError("Cannot find a working triton installation\nand much more")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    compiled, plain = compiled_and_plain()
    x = torch.randn(4, 2, 32, 32)
    assert all(torch.equal(compiled(x), plain(x)) for _ in range(2))
    (said,) = caplog.messages
    assert "not compiled" in said
    assert "much more" not in said


def test_only_a_long_run_pays_for_a_compiler():
    config = TrainingConfig(ModelConfig(N=64), batch_size=256)
    assert not pays(config, 1000)
    assert pays(config, 100_000)
    assert pays(TrainingConfig(ModelConfig(N=128, gridsize=2), batch_size=256), 10_000)
