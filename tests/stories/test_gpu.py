"""The verbs on a CUDA device, and that what it wrote is read, and comes out alike, without one."""

import json

import numpy as np
import pytest

from ptycho.acquisition.writers import write_npz
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.cli.main import main
from tests.laws.scans import small_scan

pytest.importorskip("lightning")
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A scan and the run of a training on the device."""
    folder = tmp_path_factory.mktemp("gpu")
    write_npz(folder / "scan.npz", small_scan(n_positions=100, photons=1e6))
    choices = ["--nepochs", "6", "--batch_size", "25", "--model.lean_width", "16", "--execution.accelerator", "cuda"]
    assert main(["train", str(folder / "scan.npz"), "--output_dir", str(folder / "run"), "--quiet", *choices]) == 0
    return folder


def reconstruct(folder, device, *more):
    out = folder / device
    files = [str(folder / "run"), str(folder / "scan.npz"), "--output_dir", str(out)]
    assert main(["reconstruct", *files, "--accelerator", device, "--quiet", "--overwrite", *more]) == 0
    return Reconstruction.read(out / "reconstruction.npz"), json.loads((out / "summary.json").read_text())


def test_a_network_of_the_gpu_gives_the_same_object_on_both(run):
    (there, told), (here, _) = (reconstruct(run, device) for device in ("cuda", "cpu"))
    assert told["device"].startswith("cuda")
    assert (run / "cuda" / "report.html").stat().st_size > 0
    seen = here.coverage > 0.1 * here.coverage.max()
    np.testing.assert_allclose(there.object_[seen], here.object_[seen], atol=1e-3 * np.abs(here.object_[seen]).max())


def test_iterations_and_the_self_check_agree_too(run):
    told = [reconstruct(run, device, "--refine", "10", "--refine_probe")[1] for device in ("cuda", "cpu")]
    there, here = (facts["deviance"] for facts in told)
    assert there == pytest.approx(here, rel=0.02)


def test_it_is_judged_on_the_device_what_few_photons_say(run):
    write_npz(run / "scan.npz", small_scan(n_positions=100, photons=1e3))
    _, told = reconstruct(run, "cuda", "--refine", "5")
    assert told["network_kept"] or told["network_weight"] >= 0


def test_the_network_leaves_for_other_programs(run):
    assert main(["export", str(run / "run"), str(run / "network.onnx")]) == 0
