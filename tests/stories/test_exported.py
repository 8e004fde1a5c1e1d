"""A trained network leaves the house: ONNX Runtime and NumPy make the image that `ptycho reconstruct` makes."""

import json

import numpy as np
import pytest

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.assembly.stitch import stitch
from ptycho.cli.main import main

pytestmark = pytest.mark.slow


def test_onnxruntime_alone_makes_the_patches_of_a_scan(tmp_path, capsys, without_shape_checks):
    onnxruntime = pytest.importorskip("onnxruntime")
    scan, run, out, network = (tmp_path / name for name in ("scan.npz", "run", "out", "network.onnx"))
    quick = ["--nepochs", "10", "--model.lean_width", "8", "--quiet", "--execution.accelerator", "cpu"]
    assert main(["simulate", str(scan), "--N", "32", "--positions", "60", "--quiet"]) == 0
    assert main(["train", str(scan), "--output_dir", str(run), *quick]) == 0
    argv = ["reconstruct", str(run), str(scan), "--output_dir", str(out), "--quiet", "--accelerator", "cpu"]
    assert main(argv) == 0
    assert main(["export", str(run), str(network)]) == 0
    assert "compared with the network on 1 and 5 groups" in capsys.readouterr().out

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    described = json.loads(session.get_modelmeta().custom_metadata_map["ptychopinn.json"])
    with np.load(scan, allow_pickle=False) as file:
        counts = file["diff3d"].astype(described["input"]["counts"]["dtype"])
        positions = np.stack([file["ycoords"], file["xcoords"]], axis=1)
    assert counts.sum(axis=(1, 2)).mean() == pytest.approx(described["mean_counts"], rel=1e-4)
    real, imag, weight = session.run(None, {"counts": counts[:, None]})
    object_, _, origin = stitch((real + 1j * imag)[:, 0], positions, weight)

    ours = Reconstruction.read(out / "reconstruction.npz")
    np.testing.assert_array_equal(origin, ours.origin)
    seen = ours.coverage > 1e-3 * ours.coverage.max()
    ratio = object_[seen] / ours.object_[seen]
    # `ptycho reconstruct` also solves the brightness of the whole: one positive factor.
    assert ratio.std() < 1e-3 * abs(ratio.mean())
    assert abs(np.angle(ratio.mean())) < 1e-3
    assert np.angle(object_[seen]).std() > 0.05, "the image is flat"
