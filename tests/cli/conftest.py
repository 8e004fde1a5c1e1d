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


def contents(folder):
    """Every file with its bytes and every folder below ``folder``, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Run a verb that must refuse: status 2, one line with the words, nothing written or changed."""
    monkeypatch.delenv("PTYCHO_DEBUG", raising=False)

    def run(argv, *words):
        capsys.readouterr()
        before = contents(tmp_path)
        quiet = ["--quiet"] if argv[0] in ("train", "reconstruct", "convert") else []
        status = main([*map(str, argv), *quiet])
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if not line.startswith("warning: ")]
        assert status == 2
        # What could be seen of a file is told even where it is refused.
        assert said.out == "" or argv[0] == "inspect"
        assert len(lines) == 1, said.err
        assert lines[0].startswith(f"ptycho {argv[0]}: error: ")
        for word in words:
            assert word in lines[0]
        assert contents(tmp_path) == before

    return run
