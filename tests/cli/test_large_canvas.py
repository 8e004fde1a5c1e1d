"""The verb on a canvas that is solved in fields: the whole object is written, the field in the middle is shown."""

import json

import numpy as np

from ptycho.acquisition.writers import write
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.cli.main import main
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.persistence.bundle import write_bundle
from tests.inference.test_reconstruct import pinn_of
from tests.laws.scans import small_scan


def test_the_report_shows_the_field_that_was_checked(tmp_path, monkeypatch):
    monkeypatch.setattr("ptycho_torch.inference.reconstruct.ONE_PIECE", 0)
    monkeypatch.setattr("ptycho_torch.inference.fields.SIDE", 32)
    scan, out = small_scan(n_positions=300, photons=1e5, overlap=0.6), tmp_path / "out"
    write(tmp_path / "a.scan", scan)
    config = TrainingConfig(ModelConfig(N=32, lean_width=8))
    write_bundle(tmp_path / "wts.h5.zip", pinn_of(scan), config)
    argv = ["reconstruct", str(tmp_path), str(tmp_path / "a.scan"), "--output_dir", str(out), "--refine", "1"]
    assert main([*argv, "--quiet"]) == 0
    written = Reconstruction.read(out / "reconstruction.npz")
    field = json.loads((out / "summary.json").read_text())["field"]
    assert field["canvas"] == list(written.object_.shape)
    assert field["n_positions"] < len(written.positions) == scan.n_positions
    with np.load(out / "self_check.npz") as check:
        assert any(list(check[key].shape) == field["shape"] for key in check)
    assert "Shown here" in (out / "report.html").read_text()
    assert not [path for path in out.iterdir() if path.name.startswith(".partial-")]
