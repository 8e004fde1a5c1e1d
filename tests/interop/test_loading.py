"""``load_data``: the contract that older scripts rely on when they take a part of a scan."""

import json
from functools import partial

import numpy as np
import pytest

from ptycho.base.errors import ConfigError, DataError
from ptycho.interop import loading
from ptycho.raw_data import RawData

N, n = 8, 30
PATTERNS = ("diff3d", "diffraction")
load_data = partial(loading.load_data, RawData)


def arrays():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(10, 40, (2, n))
    return {
        "xcoords": x,
        "ycoords": y,
        "xcoords_start": x + 1,
        "ycoords_start": y - 1,
        "diff3d": rng.poisson(9, (n, N, N)).astype(np.uint16),
        "probeGuess": np.ones((N, N), complex),
        "objectGuess": np.ones((60, 60), np.complex64),
        "scan_index": np.arange(n),
        "Y": (np.arange(n)[:, None, None] * np.ones((1, N, N))).astype(np.complex64),
    }


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def save(leave_out=(), **changed):
        keys = {key: array for key, array in arrays().items() if key not in leave_out}
        np.savez(tmp_path / "scan.npz", **(keys | changed))
        return tmp_path / "scan.npz"

    return save


@pytest.mark.parametrize("asked", [{"n_subsample": 7}, {"n_images": 7}, {"n_subsample": 7, "n_images": 20}])
def test_a_part_is_sorted_and_every_array_follows(file, asked):
    raw, whole = load_data(file(), **asked, subsample_seed=5), arrays()
    np.random.seed(5)  # noqa: NPY002  # what older results came from
    legacy = np.sort(np.random.choice(n, size=7, replace=False))  # noqa: NPY002
    np.testing.assert_array_equal(raw.sample_indices, legacy)
    for key in ("xcoords", "ycoords", "xcoords_start", "ycoords_start", "diff3d", "scan_index", "Y"):
        np.testing.assert_array_equal(getattr(raw, key), whole[key][legacy])
    assert raw.subsample_seed == 5
    assert isinstance(raw, RawData)
    assert raw.objectGuess.shape == (60, 60)


def test_seeds(file):
    path = file()
    one, same, other = (load_data(path, n_subsample=10, subsample_seed=seed).sample_indices for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len({tuple(load_data(path, n_subsample=10).sample_indices) for _ in range(5)}) > 1


def test_the_shared_generator_and_the_working_directory_are_left_alone(file, tmp_path):
    path = file()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    load_data(path, n_subsample=4, subsample_seed=9)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert [entry.name for entry in tmp_path.iterdir()] == ["scan.npz"]


@pytest.mark.parametrize("asked", [{}, {"n_subsample": n}, {"n_images": 10 * n}])
def test_enough_is_all_in_the_order_of_the_file(file, asked):
    raw = load_data(file(), **asked)
    np.testing.assert_array_equal(raw.sample_indices, np.arange(n))
    np.testing.assert_array_equal(raw.diff3d, arrays()["diff3d"])


def test_groups_carry_the_positions_taken(file):
    raw = load_data(file(), n_subsample=9, subsample_seed=1)
    grouped = raw.generate_grouped_data(N, nsamples=3, gridsize=1)
    np.testing.assert_array_equal(grouped["sample_indices"], raw.sample_indices)


@pytest.mark.parametrize("key", ["diff3d", "diffraction"])
@pytest.mark.parametrize("axes", ["first", "last", "singleton"])
def test_layouts_of_patterns(file, key, axes):
    frames = arrays()["diff3d"]
    turned = {"first": frames, "last": np.moveaxis(frames, 0, -1), "singleton": frames[..., None]}[axes]
    raw = load_data(file(leave_out=PATTERNS, **{key: turned}), n_subsample=6, subsample_seed=2)
    np.testing.assert_array_equal(raw.diff3d, frames[raw.sample_indices])
    with pytest.raises(DataError, match="Unable to align diffraction shape"):
        load_data(file(leave_out=PATTERNS, **{key: frames[:-1]}))


def test_start_positions_and_companions_are_optional(file):
    raw = load_data(file(leave_out=["xcoords_start", "ycoords_start", "scan_index", "Y", "objectGuess"]), n_images=5)
    np.testing.assert_array_equal(raw.xcoords_start, raw.xcoords)
    assert raw.Y is raw.objectGuess is None
    assert len(raw.scan_index) == 5


def test_labels_that_do_not_belong_are_left_out(file, caplog):
    assert load_data(file(Y=arrays()["Y"][:-2])).Y is None
    assert "Y has 28 patches for 30 positions" in caplog.text


def test_metadata_is_kept(file):
    said = {"physics_parameters": {"nphotons": 3e4}}
    assert load_data(file(_metadata=np.array(json.dumps(said), dtype=object))).metadata == said
    assert load_data(file()).metadata is None
    assert load_data(file(_metadata=np.array(1.0))).metadata is None


@pytest.mark.parametrize(
    ("asked", "x", "y"),
    [
        ({"flip_x": True}, lambda x, y: -x, lambda x, y: y),
        ({"flip_y": True}, lambda x, y: x, lambda x, y: -y),
        ({"swap_xy": True}, lambda x, y: y, lambda x, y: x),
        ({"flip_x": True, "swap_xy": True, "coord_scale": 2.0}, lambda x, y: 2 * y, lambda x, y: -2 * x),
    ],
)
def test_axes_change_positions_alone(file, asked, x, y):
    raw, whole = load_data(file(), **asked), arrays()
    for suffix in ("", "_start"):
        places = whole[f"xcoords{suffix}"], whole[f"ycoords{suffix}"]
        np.testing.assert_allclose(getattr(raw, f"xcoords{suffix}"), x(*places))
        np.testing.assert_allclose(getattr(raw, f"ycoords{suffix}"), y(*places))
    np.testing.assert_array_equal(raw.diff3d, whole["diff3d"])


@pytest.mark.parametrize("wanted", [0, -3])
def test_nothing_to_take_is_refused(file, wanted):
    with pytest.raises(ConfigError, match=f"found {wanted} positions"):
        load_data(file(), n_subsample=wanted)
