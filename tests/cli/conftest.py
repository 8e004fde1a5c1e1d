"""A small scan, a network trained on it and what became of the scan: made once, by the verbs themselves."""

import numpy as np
import pytest

from ptycho.cli.main import main

TRAIN = ["--quiet", "--nepochs", "1", "--model.lean_width", "8", "--execution.accelerator", "cpu"]


@pytest.fixture(scope="session")
def scan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    assert main(["simulate", str(path), "--quiet", "--N", "32", "--positions", "40", "--seed", "1"]) == 0
    return path


@pytest.fixture(scope="session")
def scan_arrays(scan_file):
    with np.load(scan_file, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="session")
def trained(tmp_path_factory, scan_file):
    pytest.importorskip("lightning")
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", str(scan_file), "--output_dir", str(folder), *TRAIN]) == 0
    return folder


@pytest.fixture(scope="session")
def reconstructed(tmp_path_factory, scan_file, trained):
    folder = tmp_path_factory.mktemp("reconstructed") / "out"
    argv = ["reconstruct", str(trained), str(scan_file), "--output_dir", str(folder), "--refine", "4", "--quiet"]
    assert main([*argv, "--accelerator", "cpu"]) == 0
    return folder
