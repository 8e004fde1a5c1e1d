"""``RawData`` as older clients and Ptychodus use it."""

import subprocess
import sys

import numpy as np
import pytest

from ptycho import params
from ptycho.assembly.bilinear import cut
from ptycho.base.errors import ConfigError, DataError
from ptycho.config.config import ModelConfig, TrainingConfig
from ptycho.interop.metadata import create_metadata, save_with_metadata
from ptycho.raw_data import RawData, normalize_data
from ptycho.simulation.simulate import Simulation, simulate

N = 16


def parts(n=20, dtype=np.uint16):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(12, 40, (2, n))
    return {
        "xcoords": x,
        "ycoords": y,
        "diff3d": rng.poisson(20, (n, N, N)).astype(dtype),
        "probeGuess": np.ones((N, N), complex),
        "scan_index": np.zeros(n, np.int64),
        "objectGuess": (rng.normal(size=(50, 55)) + 1j).astype(np.complex64),
    }


@pytest.mark.parametrize("modes", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32, np.float64])
def test_the_call_of_ptychodus(modes, dtype):
    keys = parts(dtype=dtype) | {"probeGuess": np.ones((*modes, N, N), complex)}
    raw = RawData.from_coords_without_pc(**keys)
    grouped = raw.generate_grouped_data(N, K=7, nsamples=6, gridsize=2)
    assert raw.probeGuess.shape == (*modes, N, N)
    assert grouped["diffraction"].dtype == dtype
    assert grouped["X_full"].shape == (6, N, N, 4)
    assert grouped["X_full"].dtype == np.float32
    assert raw.acquisition().probe.shape == (*(modes or (1,)), N, N)


@pytest.mark.parametrize("gridsize", [1, 2])
def test_the_dictionary_of_groups(gridsize):
    keys = parts()
    raw = RawData.from_coords_without_pc(**keys)
    grouped = raw.generate_grouped_data(N, K=6, nsamples=5, seed=3, gridsize=gridsize)
    members = grouped["nn_indices"]
    for group, indices in enumerate(members):
        for channel, i in enumerate(indices):
            np.testing.assert_array_equal(grouped["diffraction"][group, :, :, channel], keys["diff3d"][i])
            place = [keys["xcoords"][i], keys["ycoords"][i]]
            np.testing.assert_array_equal(grouped["coords_nn"][group, 0, :, channel], place)
            # The true patch lies at the position itself, not at its mirror image in the group.
            truth = cut(keys["objectGuess"], np.array([place[::-1]]), N)[0]
            np.testing.assert_array_equal(grouped["Y"][group, :, :, channel], truth)
    mean = grouped["coords_nn"].mean(axis=3, keepdims=True)
    np.testing.assert_array_equal(grouped["coords_offsets"], mean)
    np.testing.assert_array_equal(grouped["coords_relative"], -(grouped["coords_nn"] - mean))
    for name in ("nn", "offsets", "relative"):
        np.testing.assert_array_equal(grouped[f"coords_start_{name}"], grouped[f"coords_{name}"])
    assert grouped["Y"].dtype == np.complex64
    assert grouped["objectGuess"] is raw.objectGuess
    assert (grouped["X_full"].astype(float) ** 2).sum(axis=(1, 2)).mean() == pytest.approx(N**2 / 4, rel=1e-5)


def test_counts_become_amplitudes_and_amplitudes_stay():
    keys = parts()
    root = keys | {"diff3d": np.sqrt(keys["diff3d"]).astype(np.float32)}
    counted, measured = (
        RawData.from_coords_without_pc(**k).generate_grouped_data(N, K=4, nsamples=5, seed=1, gridsize=1)
        for k in (keys, root)
    )
    np.testing.assert_allclose(counted["X_full"], measured["X_full"], rtol=1e-6)
    ratio = measured["X_full"] / measured["diffraction"]
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-6)


def test_nominal_positions_and_labels_are_grouped_too():
    keys = parts()
    labels = np.arange(20)[:, None, None] * np.ones((1, N, N), np.complex64)
    x, y = keys["xcoords"], keys["ycoords"]
    raw = RawData(x, y, x + 1, y - 2, keys["diff3d"], keys["probeGuess"], keys["scan_index"], Y=labels[..., None])
    raw.sample_indices = np.arange(20)
    grouped = raw.generate_grouped_data(N, K=4, nsamples=5, gridsize=2)
    expected = grouped["coords_nn"] + np.array([1, -2])[:, None]
    np.testing.assert_array_equal(grouped["coords_start_nn"], expected)
    np.testing.assert_array_equal(grouped["Y"][:, 0, 0].real, grouped["nn_indices"])
    np.testing.assert_array_equal(grouped["sample_indices"], np.arange(20))


def test_without_a_gridsize_the_dictionary_of_parameters_decides(monkeypatch):
    from ptycho.legacy.parameters import cfg

    raw = RawData.from_coords_without_pc(**parts())
    for gridsize in (1, 2):
        monkeypatch.setitem(cfg, "gridsize", gridsize)
        assert raw.generate_grouped_data(N, K=4, nsamples=3)["nn_indices"].shape == (3, gridsize**2)


def test_more_groups_than_positions_only_when_asked_for():
    raw = RawData.from_coords_without_pc(**parts())
    with pytest.raises(ConfigError, match="OVERSAMPLING-001"):
        raw.generate_grouped_data(N, K=6, nsamples=40, gridsize=2)
    more = raw.generate_grouped_data(
        N, K=6, nsamples=40, gridsize=2, enable_oversampling=True, neighbor_pool_size=7, seed=0
    )
    assert more["nn_indices"].shape == (40, 4)


@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"gridsize": -1}, "gridsize is -1; expected a whole number, 1 or more"),
        ({"gridsize": 0}, "gridsize is 0"),
        ({"gridsize": True}, "gridsize is True"),
        ({"nsamples": -1}, "nsamples is -1"),
        ({"nsamples": 0}, "nsamples is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"N": 0}, "N is 0"),
    ],
    ids=str,
)
def test_numbers_that_ask_for_nothing(gridsize, asked, said):
    raw = RawData.from_coords_without_pc(**parts())
    with pytest.raises(ConfigError, match=said):
        raw.generate_grouped_data(**{"N": N, "K": 6, "nsamples": 5, "gridsize": gridsize} | asked)


def with_one(array, value):
    changed = array.astype(np.result_type(array, type(value)))
    changed[3] = value
    return changed


@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize(
    ("key", "change", "said"),
    [
        ("diff3d", lambda a: a + 0j, "patterns of type complex128, expected real numbers"),
        ("diff3d", lambda a: a > 20, "patterns of type bool, expected real numbers"),
        ("diff3d", lambda a: with_one(a, np.nan), "NaN or infinity in patterns"),
        ("diff3d", lambda a: with_one(a, np.inf), "NaN or infinity in patterns"),
        ("diff3d", lambda a: with_one(a, -7.0), "negative values in the patterns .smallest -7"),
        ("diff3d", lambda a: 0 * a, "patterns without any counts"),
        ("xcoords", lambda a: with_one(a, np.nan), "NaN or infinity in positions"),
        ("ycoords", lambda a: with_one(a, -np.inf), "NaN or infinity in positions"),
        ("ycoords", lambda a: a.astype(str), "coordinates of type"),
    ],
    ids=["complex", "bool", "NaN", "infinity", "negative", "dark", "NaN in x", "infinity in y", "text"],
)
@pytest.mark.filterwarnings("error")
def test_scans_that_can_not_be_grouped(gridsize, key, change, said):
    keys = parts()
    raw = RawData.from_coords_without_pc(**keys | {key: change(keys[key])})
    with pytest.raises(DataError, match=said) as refusal:
        raw.generate_grouped_data(N, K=6, nsamples=20, gridsize=gridsize, seed=0)
    assert "\n" not in str(refusal.value)


def test_normalisation_of_uint16_does_not_overflow():
    counts = np.random.default_rng(0).integers(0, 60000, (5, N, N, 4)).astype(np.uint16)
    normalised = normalize_data({"diffraction": counts}, N)
    exact = counts.astype(float)
    exact *= np.sqrt((N / 2) ** 2 / (exact**2).sum(axis=(1, 2)).mean())
    np.testing.assert_allclose(normalised, exact, rtol=2e-7)
    assert normalised.dtype == np.float32


def test_files_keep_everything(tmp_path):
    keys = parts()
    x, y = keys["xcoords"], keys["ycoords"]
    raw = RawData(x, y, x + 1, y + 1, keys["diff3d"], keys["probeGuess"], keys["scan_index"], keys["objectGuess"])
    raw.bad_pixels = np.eye(N, dtype=bool)
    raw.to_file(tmp_path / "a.npz")
    back = RawData.from_file(tmp_path / "a.npz")
    for name in (*keys, "xcoords_start", "ycoords_start", "bad_pixels"):
        np.testing.assert_array_equal(getattr(back, name), getattr(raw, name), err_msg=name)
    assert back.diff3d.dtype == np.uint16
    assert np.argwhere(~back.acquisition().mask).tolist() == np.argwhere(raw.bad_pixels).tolist()


def test_a_file_is_called_what_numpy_would_call_it(tmp_path):
    RawData.from_coords_without_pc(**parts()).to_file(tmp_path / "scan")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_files_without_companions(tmp_path):
    keys = parts()
    np.savez(
        tmp_path / "a.npz",
        **{k: keys[k] for k in ("xcoords", "ycoords", "probeGuess")},
        diffraction=np.moveaxis(keys["diff3d"], 0, -1),
        nphotons=5000.0,
    )
    raw = RawData.from_file(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(raw.diff3d, keys["diff3d"])
    np.testing.assert_array_equal(raw.xcoords_start, keys["xcoords"])
    np.testing.assert_array_equal(raw.scan_index, np.zeros(20))
    assert raw.objectGuess is None
    assert raw.nphotons == 5000
    raw.to_file(tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz", allow_pickle=False) as file:
        assert "objectGuess" not in file.files
    with pytest.raises(DataError, match=r"no\.npz: not found"):
        RawData.from_file(tmp_path / "no.npz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"xcoords": np.zeros(3)}, "Coordinate arrays must have matching shapes."),
        ({"diff3d": np.ones((19, N, N))}, "Unable to align diffraction shape"),
        ({"diff3d": np.ones((20, N, N + 2))}, "square"),
        ({"probeGuess": np.ones(N)}, "probeGuess of shape"),
        ({"objectGuess": np.ones((2, 50, 50))}, "objectGuess of shape"),
    ],
    ids=str,
)
def test_shapes_that_disagree(change, said):
    with pytest.raises(DataError, match=said) as refusal:
        RawData.from_coords_without_pc(**parts() | change)
    assert "\n" not in str(refusal.value)


def test_the_door_opens_without_torch():
    code = "import sys, ptycho.raw_data; sys.exit('torch' in sys.modules or 'scipy.spatial' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=32, n_positions=20, photons=3e4), np.random.default_rng(3))


def test_two_files_are_read_with_what_they_say_of_themselves(tmp_path, scan, caplog):
    y, x = scan.positions.T
    arrays = {"diff3d": scan.patterns, "xcoords": x, "ycoords": y, "probeGuess": scan.probe[0]}
    config = TrainingConfig(ModelConfig(N=128), nphotons=1e5)
    for name in ("train", "test"):
        save_with_metadata(tmp_path / f"{name}.npz", arrays, create_metadata(config, name))
    train, test = RawData.from_files(tmp_path / "train.npz", tmp_path / "test.npz")
    assert train.metadata["creation_info"] != test.metadata["creation_info"]
    RawData.from_file(tmp_path / "train.npz", validate_config=True, current_config=config)
    assert "N is" not in caplog.text
    other = TrainingConfig(ModelConfig(N=64), nphotons=1e5)
    RawData.from_file(tmp_path / "train.npz", validate_config=True, current_config=other)
    assert "N is 128 in the file and 64 in the configuration" in caplog.text


def test_a_simulated_scan_holds_the_photons_that_the_dictionary_asks_for(scan, monkeypatch):
    y, x = scan.positions.T
    monkeypatch.setitem(params.cfg, "nphotons", 2e4)
    raw = RawData.from_simulation(x, y, scan.probe[0], scan.object_)
    counts = raw.acquisition().counts_per_frame()
    np.testing.assert_allclose(counts.mean(), 2e4, rtol=0.01)
    again = RawData.from_simulation(x, y, scan.probe[0], scan.object_)
    np.testing.assert_array_equal(raw.diff3d, again.diff3d)
    monkeypatch.setitem(params.cfg, "npseed", 43)
    assert not np.array_equal(raw.diff3d, RawData.from_simulation(x, y, scan.probe[0], scan.object_).diff3d)


def test_what_the_patterns_hold_is_said_once(scan, caplog):
    caplog.set_level("INFO")
    y, x = scan.positions.T
    raw = RawData.from_coords_without_pc(x, y, scan.patterns.astype(np.uint16), scan.probe, np.zeros(len(x), int))
    raw.generate_grouped_data(32, nsamples=20, gridsize=1)
    raw.generate_grouped_data(32, nsamples=20, gridsize=1)
    raw.acquisition()
    assert [m for m in caplog.messages if "taken for" in m] == ["the patterns are taken for counts (uint16)"]
