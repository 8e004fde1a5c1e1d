"""``MemmapDatasetBridge``: the groups of ``RawDataTorch``, from patterns that are mapped."""

import numpy as np
import pytest

from ptycho.base.mapped import is_mapped
from ptycho.config.config import ModelConfig, TrainingConfig
from ptycho_torch.memmap_bridge import MemmapDatasetBridge
from ptycho_torch.raw_data_bridge import RawDataTorch

N, n = 16, 25


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(12, 40, (2, n))
    return {
        "xcoords": x,
        "ycoords": y,
        "diff3d": rng.poisson(20, (n, N, N)).astype(np.float32),
        "probeGuess": np.ones((N, N), np.complex64),
        "objectGuess": (rng.normal(size=(60, 60)) + 1j).astype(np.complex64),
    }


@pytest.fixture
def config(tmp_path):
    return TrainingConfig(ModelConfig(N=N, gridsize=2), output_dir=tmp_path / "run")


@pytest.mark.parametrize("key", ["diff3d", "diffraction"])
@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_groups_are_those_of_the_scan_in_memory(tmp_path, monkeypatch, arrays, config, key, gridsize, save):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "scan.npz", **{key if name == "diff3d" else name: array for name, array in arrays.items()})
    bridge = MemmapDatasetBridge(tmp_path / "scan.npz", config)
    found = bridge.get_grouped_data(N, K=6, nsamples=7, gridsize=gridsize, seed=3)
    raw = RawDataTorch(**arrays, scan_index=np.arange(n), config=config)
    expected = raw.generate_grouped_data(N, K=6, nsamples=7, gridsize=gridsize, seed=3)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert getattr(found[name], "dtype", None) == getattr(value, "dtype", None)
    assert isinstance(bridge.raw_data_torch, RawDataTorch)
    np.testing.assert_array_equal(bridge.raw_data_torch.scan_index, np.arange(n))
    assert {path.name for path in tmp_path.iterdir()} <= {"scan.npz", "run"}


def test_maps_go_where_the_user_says(tmp_path, arrays, config):
    np.savez_compressed(tmp_path / "scan.npz", **arrays)
    MemmapDatasetBridge(str(tmp_path / "scan.npz"), config)
    assert (tmp_path / "run" / "memmap").is_dir()
    MemmapDatasetBridge(tmp_path / "scan.npz", config, memmap_dir=str(tmp_path / "maps"))
    assert (tmp_path / "maps").is_dir()


def test_what_the_file_says_of_its_patterns_is_kept(tmp_path, arrays, config):
    bad = np.eye(N, dtype=bool)
    arrays["diff3d"] = np.sqrt(arrays["diff3d"] + 0.3).astype(np.float32)
    np.savez_compressed(tmp_path / "scan.npz", **arrays, bad_pixels=bad, nphotons=5e3)
    scan = MemmapDatasetBridge(tmp_path / "scan.npz", config).raw_data_torch.acquisition(1e9)
    np.testing.assert_array_equal(scan.mask, ~bad)
    assert scan.counts_per_frame().mean() == pytest.approx(5e3, rel=1e-4)
    assert is_mapped(scan.patterns)
