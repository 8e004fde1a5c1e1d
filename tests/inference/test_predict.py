"""Passes of the network over a scan: batches, precision, repetition; and what a GPU is told once."""

import dataclasses
import functools
import gc
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from ptycho.base.errors import ConfigError
from ptycho.cli.main import main
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.base.repeating import repeatable
from ptycho_torch.data.batch import Step
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import predict
from ptycho_torch.inference.arithmetic import autocast
from ptycho_torch.inference.captured import Captured, by_compiler
from ptycho_torch.inference.predict import Pass, summed_patches
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.physics.forward import divide, place_on_canvas
from ptycho_torch.pinn.build import Constants, build, loss_of, objective_of
from tests.laws.scans import small_scan

CPU = torch.device("cpu")
SCAN = small_scan(n_positions=60, photons=1e6)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@functools.cache
def trained(gridsize=1, architecture="lean"):
    """A small network that learnt from the scan for a few steps."""
    torch.manual_seed(0)
    config = TrainingConfig(ModelConfig(N=32, gridsize=gridsize, architecture=architecture, lean_width=8))
    pinn = build(config.model, config, Constants.of(SCAN))
    loss = loss_of(config.model, SCAN, Scan.of(SCAN), objective_of(config))
    optimizer = torch.optim.AdamW(pinn.parameters(), 2e-3)
    step = Step(torch.arange(60).view(-1, gridsize**2) if gridsize > 1 else torch.arange(60)[None])
    for _ in range(20):
        optimizer.zero_grad()
        loss(pinn, step).backward()
        optimizer.step()
    return pinn.eval()


@pytest.fixture(scope="module")
def pinn():
    return trained()


def passed(pinn, device="cpu", n=60, **choices):
    pinn, scan = pinn.to(device), Scan.of(SCAN, device)
    placement, _ = place_on_canvas(scan.positions, scan.size)
    return Pass(pinn, scan, placement, torch.ones(60, dtype=torch.long, device=device), **choices)


def object_of(sums):
    object_, light = divide(*sums)
    return torch.where(light > 0.1 * light.max(), object_, 0).cpu()


def stitched(pinn, device="cpu", **choices):
    pinn, scan = pinn.to(device), Scan.of(SCAN, device)
    placement, _ = place_on_canvas(scan.positions, scan.size)
    return summed_patches(pinn, scan, placement, torch.arange(60, device=device)[:, None], **choices)


@pytest.mark.parametrize(
    ("precision", "architecture"),
    [("32-true", "lean"), ("16-mixed", "lean"), ("bf16-mixed", "lean"), ("bf16-mixed", "unrolled")],
)
def test_a_reconstruction_repeats_itself_bit_by_bit(precision, architecture):
    pinn, choices = trained(architecture=architecture), {"precision": precision, "deterministic": True}
    one, other = (reconstruct(pinn, SCAN, device=CPU, batch_size=16, **choices).final.object_ for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("chosen", [None, ":16:8"])
def test_what_was_asked_of_torch_before_is_asked_again_after(monkeypatch, chosen):
    """Also of cuBLAS, which is asked through the environment; what a user chose there stands."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", chosen or "")
    if chosen is None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    torch.use_deterministic_algorithms(False)
    for deterministic in (True, "warn", False):
        with repeatable(deterministic):
            assert torch.are_deterministic_algorithms_enabled() == bool(deterministic)
            assert torch.is_deterministic_algorithms_warn_only_enabled() == (deterministic == "warn")
            assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (chosen or (":4096:8" if deterministic else None))
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == chosen
    assert not torch.are_deterministic_algorithms_enabled()


def test_sixteen_bits_of_the_network_change_an_object_by_less_than_a_hundredth(pinn):
    full, short = (object_of(stitched(pinn, batch_size=16, precision=p)) for p in ("32-true", "bf16-mixed"))
    difference = torch.linalg.vector_norm(short - full) / torch.linalg.vector_norm(full)
    assert 0 < difference < 1e-2
    assert torch.linalg.vector_norm(full - full[full != 0].mean() * (full != 0)) > 0.05, "it says something"


def test_a_precision_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"precision is '8-bit'; expected 32-true, 16-mixed or bf16-mixed"):
        autocast(CPU, "8-bit")


@pytest.mark.parametrize(
    ("flag", "value"), [("--precision", "64-true"), ("--deterministic", "maybe"), ("--precision", "")]
)
def test_a_flag_that_means_nothing_is_refused_in_one_line(tmp_path, capsys, flag, value):
    words = ["reconstruct", "run", "scan.npz", "--output_dir", str(tmp_path / "out"), flag, value]
    assert main(words) == 2
    said = capsys.readouterr().err.strip()
    assert flag in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("gridsize", [1, 2])
def test_a_frame_that_is_none_adds_nothing(gridsize):
    one, filled = passed(trained(gridsize)), passed(trained(gridsize))
    groups = torch.arange(60).view(-1, gridsize**2)
    one(groups)
    filled(torch.cat([groups, torch.full_like(groups, filled.nobody)]))
    torch.testing.assert_close(filled.sums, one.sums, rtol=1e-5, atol=1e-5 * float(one.sums.abs().max()))


@pytest.mark.parametrize("flux", [1.0, 4.0])
def test_brighter_counts_with_their_flux_say_the_same(pinn, flux):
    acquisition = dataclasses.replace(SCAN, patterns=SCAN.patterns.astype(np.uint32) * int(flux))
    scan = Scan.of(acquisition)
    placement, _ = place_on_canvas(scan.positions, scan.size)
    sums = summed_patches(pinn, scan, placement, torch.arange(60)[:, None], batch_size=16, flux=flux)
    torch.testing.assert_close(object_of(sums), object_of(stitched(pinn, batch_size=16)), rtol=1e-4, atol=1e-4)


def test_without_a_compiler_the_network_runs_as_it_is_and_says_so_once(pinn, monkeypatch, caplog):
    def missing(function, *, dynamic):
        def call(images):
            raise RuntimeError("no compiler here\nand more")

        return call

    monkeypatch.setattr(torch, "compile", missing)
    compiled, images = by_compiler(pinn.network.said, "the network"), torch.randn(3, 2, 32, 32)
    with caplog.at_level(logging.WARNING), torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(compiled(images), pinn.network.said(images))
    assert [r.getMessage() for r in caplog.records] == [
        "the network runs without being compiled, which is slower: no compiler here"
    ]


def test_a_gpu_that_is_full_is_no_missing_compiler(pinn, monkeypatch, caplog):
    def full(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda function, *, dynamic: full)
    compiled = by_compiler(pinn.network.said, "the network")
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            compiled(torch.randn(3, 2, 32, 32))
    assert not caplog.records


# What checks types in tests is nothing that a compiler can read: a program of its own.
COMPILED = """
import sys, torch
from ptycho_torch.inference.captured import by_compiler
from ptycho_torch.networks.lean import Lean
device, short = sys.argv[1], sys.argv[2] == "True"
torch.manual_seed(0)
network = Lean(32, 1, (8, 16, 32)).to(device, memory_format=torch.channels_last)
torch.nn.init.normal_(network.head.spread.weight, std=0.1)
images = torch.randn(3, 2, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=short, cache_enabled=False):
    said = by_compiler(network.said, "the network")
    found, expected = network.patches(said(images)), network(images)
assert found.dtype == torch.complex64
torch.testing.assert_close(found, expected, rtol=0, atol=0.1 if short else 1e-4 if device == "cpu" else 1e-2)
assert expected.angle().abs().max() > 0.1
"""


@pytest.mark.slow
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_compiled_network_says_the_same(device, short):
    done = subprocess.run([sys.executable, "-c", COMPILED, device, str(short)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "without being compiled" not in done.stderr


@pytest.mark.parametrize("device", DEVICES)
def test_a_scan_of_many_passes_is_that_of_one(pinn, device, monkeypatch):
    """On a GPU many passes are captured, and one is not."""
    monkeypatch.setattr(predict, "CAPTURED_FROM", 4)
    whole, parts = (object_of(stitched(pinn, device, batch_size=n)) for n in (60, 7))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4 if device == "cuda" else 1e-5)


@pytest.mark.gpu
def test_a_captured_pass_holds_what_it_uses():
    """A graph alone would go on with memory that is no longer its own."""
    device, used = torch.device("cuda"), []

    def captured():
        table, sums = torch.arange(4.0, device=device), torch.zeros(1, device=device)
        used.append(sums)
        return Captured(lambda groups: sums.add_(table[groups].sum()), (2, 1), 0, device)

    add = captured()
    gc.collect()
    torch.cuda.empty_cache()
    others = [torch.full((64,), 1e9, device=device) for _ in range(64)]
    used[0].zero_()
    add(torch.tensor([[1], [3]], device=device))
    assert float(used[0]) == 4.0, len(others)


def test_a_pass_that_cannot_be_captured_is_launched_and_says_so(pinn, monkeypatch, caplog):
    class Recorder:
        def __init__(self, device):
            pass

        def aside(self, work):
            return work()

        def record(self, work):
            raise RuntimeError("operation not permitted when stream is capturing")

    whole = object_of(stitched(pinn, batch_size=7))
    monkeypatch.setattr(Pass, "capturable", True)
    monkeypatch.setattr(predict, "CAPTURED_FROM", 4)
    monkeypatch.setattr("ptycho_torch.inference.captured.CudaGraphs", Recorder)
    with caplog.at_level(logging.WARNING):
        found = object_of(stitched(pinn, batch_size=7))
    torch.testing.assert_close(found, whole)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("passes are launched kernel by kernel: recording one as a CUDA graph failed (operation not")


@pytest.mark.gpu
def test_a_captured_pass_adds_what_the_pass_adds_full_or_not(pinn):
    with torch.no_grad():
        plain, recorded = passed(pinn, "cuda"), passed(pinn, "cuda")
        add = Captured(recorded, (16, 1), recorded.nobody, torch.device("cuda"))
        assert recorded.sums.abs().max() == 0
        for some in torch.arange(60, device="cuda")[:, None].split(16):
            plain(some)
            add(some)
    torch.testing.assert_close(object_of(recorded.sums), object_of(plain.sums), rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_gpu_repeats_itself_where_it_is_asked_to(pinn, precision):
    found = [
        reconstruct(pinn, SCAN, device=torch.device("cuda"), batch_size=16, precision=precision, deterministic=True)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*(each.final.object_ for each in found))


@pytest.mark.gpu
def test_a_pass_reads_nothing_back(pinn):
    one_pass = passed(pinn, "cuda")
    groups = torch.arange(60, device="cuda")[:, None]
    with torch.no_grad():
        one_pass(groups)
        torch.cuda.set_sync_debug_mode("error")
        try:
            one_pass(groups)
        finally:
            torch.cuda.set_sync_debug_mode("default")
