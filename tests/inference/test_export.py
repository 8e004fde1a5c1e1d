"""An exported file says what the network says, to programs that have neither this software nor its network."""

import json
import sys
import zipfile

import numpy as np
import pytest
import torch

from ptycho.base.errors import BackendNotInstalledError, BundleError, ConfigError
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.inference import export as export_module
from ptycho_torch.inference.export import DESCRIPTION, RealBackProjection, export
from ptycho_torch.physics.backprojection import BackProjection
from ptycho_torch.pinn.build import Constants, build
from tests.laws.scans import small_scan

SCAN = small_scan(n_modes=2)


def trained(seed=3, **choices):
    """A network whose every weight has a value of its own."""
    model = ModelConfig(**({"N": 32, "lean_width": 8} | choices))
    torch.manual_seed(seed)
    scan = SCAN if SCAN.size == model.N else small_scan(N=model.N, n_positions=8)
    pinn = build(model, TrainingConfig(model), Constants.of(scan)).eval()
    with torch.no_grad():
        for parameter in pinn.network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return pinn


def patterns(pinn, groups):
    shape = (groups, pinn.channels, *pinn.probe.shape[1:])
    return torch.poisson(40 * torch.rand(shape, generator=torch.Generator().manual_seed(groups)) ** 4)


def agrees(pinn, counts, real, imag):
    with torch.no_grad():
        expected = pinn.predict(counts.flatten(0, 1)).view(counts.shape).numpy()
    assert expected.std() > 1e-3, "the network says nothing"
    np.testing.assert_allclose(real + 1j * imag, expected, atol=1e-5 * np.abs(expected).max())


def agrees_through_onnxruntime(pinn, file):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for groups in (1, 4, 7):
        counts = patterns(pinn, groups)
        real, imag, weight = session.run(["real", "imag", "weight"], {"counts": counts.numpy()})
        agrees(pinn, counts, real, imag)
    np.testing.assert_allclose(weight, pinn.probe.detach().abs().square().sum(0), rtol=1e-5)
    return json.loads(session.get_modelmeta().custom_metadata_map[DESCRIPTION])


def test_an_unrolled_network_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"unrolled.*expected lean or cnn.*ptycho reconstruct"):
        export(trained(architecture="unrolled"), tmp_path / "net.onnx", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_modes", [1, 3])
def test_the_back_projection_in_real_numbers_is_the_complex_one(n_modes):
    generator = torch.Generator().manual_seed(n_modes)
    probe = torch.randn(n_modes, 32, 32, dtype=torch.complex64, generator=generator)
    counts = 6 * torch.rand(5, 32, 32, generator=generator)
    expected = BackProjection(probe)(counts)
    torch.testing.assert_close(torch.complex(*RealBackProjection(BackProjection(probe))(counts)), expected)


def test_onnxruntime_gives_the_patches_of_the_network(tmp_path, without_shape_checks):
    pytest.importorskip("onnxscript")
    pinn = trained()
    difference = export(pinn, tmp_path / "net.onnx", {"architecture": "lean"})
    assert 0 < difference < 1e-5
    description = agrees_through_onnxruntime(pinn, tmp_path / "net.onnx")
    assert description["input"]["counts"]["shape"] == ["group", 1, 32, 32]
    assert description["mean_counts"] == pytest.approx(SCAN.counts_per_frame().mean(), rel=1e-5)
    assert description["model"] == {"architecture": "lean"}
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_a_program_gives_them_without_opening_a_pickle(tmp_path, without_shape_checks, monkeypatch):
    pinn, file = trained(), tmp_path / "net.pt2"
    export(pinn, file, {})
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    extra = {DESCRIPTION: ""}
    program = torch.export.load(file, extra_files=extra).module()
    for groups in (1, 6):
        counts = patterns(pinn, groups)
        real, imag, _ = (part.detach().numpy() for part in program(counts))
        agrees(pinn, counts, real, imag)
    assert json.loads(extra[DESCRIPTION])["output"]["real"]["unit"] == "1"
    with zipfile.ZipFile(file) as archive:
        assert all(str(export_module.__file__).encode() not in archive.read(name) for name in archive.namelist())


@pytest.mark.slow
def test_a_weight_too_large_to_be_folded_into_the_program_has_a_name_of_its_own(tmp_path, without_shape_checks):
    pinn = trained(N=128)
    export(pinn, tmp_path / "net.onnx", {})
    agrees_through_onnxruntime(pinn, tmp_path / "net.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
@pytest.mark.parametrize("choices", [{"gridsize": 2}, {"N": 64, "architecture": "cnn", "gridsize": 2}])
def test_networks_of_every_kind_are_exported(tmp_path, without_shape_checks, choices, ending):
    pinn, file = trained(**choices), tmp_path / f"net{ending}"
    assert export(pinn, file, {}) < 1e-5
    if ending == ".onnx":
        agrees_through_onnxruntime(pinn, file)


@pytest.fixture
def cheap_export(monkeypatch):
    """Writing without the exporters: what is under test comes after them."""
    monkeypatch.setattr(export_module, "_program", lambda pinn: pinn)

    def load_as(change):
        def load(_):
            def run(counts):
                patches = change(export_module.CountsToPatches(PINN)(counts))
                return list(patches)

            return run

        written = (lambda program, path, description: path.write_text(description), load, ())
        monkeypatch.setitem(export_module.FORMATS, ".onnx", written)

    return load_as


PINN = trained()


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: (parts[0], -parts[1], parts[2]),
        lambda parts: (parts[0].mT, parts[1].mT, parts[2]),
        lambda parts: (parts[0] * 1.001, parts[1], parts[2]),
        lambda parts: (parts[0] * torch.nan, parts[1], parts[2]),
    ],
)
def test_a_file_that_differs_from_the_network_is_refused_and_not_left_behind(tmp_path, cheap_export, change):
    cheap_export(lambda parts: parts)
    assert export(PINN, tmp_path / "good.onnx", {}) < 1e-5
    (tmp_path / "good.onnx").unlink()
    cheap_export(change)
    with pytest.raises(BundleError, match=r"differs from the trained network by .*; expected at most 0.0001; nothing"):
        export(PINN, tmp_path / "bad.onnx", {})
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"ends with '.pth'; expected .onnx or .pt2"):
        export(PINN, tmp_path / "net.pth", {})


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    pytest.importorskip("onnxscript")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackendNotInstalledError, match=rf'{package} is not .*pip install "ptychopinn\[export\]"'):
        export(PINN, tmp_path / "net.onnx", {})
    assert list(tmp_path.iterdir()) == []
