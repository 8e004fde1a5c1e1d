"""What a file says about itself survives the file, and says where it disagrees."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from ptycho.base.errors import DataError
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.metadata import MetadataManager


@pytest.fixture
def config():
    return TrainingConfig(ModelConfig(N=128, gridsize=2), nphotons=2e6, n_groups=77, batch_size=8, nepochs=3)


@pytest.fixture
def metadata(config):
    return MetadataManager.create_metadata(config, "measure.py", sample="star")


def test_the_schema(metadata):
    assert metadata["schema_version"] == "1.0.0"
    assert metadata["creation_info"]["script"] == "measure.py"
    assert metadata["creation_info"]["hostname"] == ""
    assert set(metadata["creation_info"]) == {"timestamp", "script", "hostname", "ptychopinn_version"}
    assert metadata["physics_parameters"] == {
        "nphotons": 2e6,
        "gridsize": 2,
        "N": 128,
        "probe_trainable": False,
        "intensity_scale_trainable": True,
        "nll_weight": 1.0,
        "model_type": "pinn",
    }
    assert metadata["training_parameters"] == {"n_images": 77, "batch_size": 8, "nepochs": 3}
    assert metadata["data_transformations"] == []
    assert metadata["additional_parameters"] == {"sample": "star"}


def test_a_file_gives_back_what_it_was_given(tmp_path, metadata):
    arrays = {"a": np.arange(3), "b": np.ones((2, 2), np.complex64)}
    metadata["additional_parameters"] |= {"scale": np.float32(0.5), "path": Path("x"), "list": np.arange(2)}
    MetadataManager.save_with_metadata(tmp_path / "scan.npz", arrays | {"absent": None}, metadata)
    found, said = MetadataManager.load_with_metadata(str(tmp_path / "scan.npz"))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[key], arrays[key]) for key in arrays)
    assert said == metadata | {
        "additional_parameters": {"sample": "star", "scale": 0.5, "path": "x", "list": [0, 1]},
    }
    with np.load(tmp_path / "scan.npz", allow_pickle=False) as file:
        assert json.loads(str(file["_metadata"])) == said
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_what_older_software_pickled_is_read(tmp_path, metadata):
    pickled = np.array(json.dumps(metadata), dtype=object)
    np.savez(tmp_path / "old.npz", a=np.ones(2), objectGuess=np.array(None, dtype=object), _metadata=pickled)
    found, said = MetadataManager.load_with_metadata(tmp_path / "old.npz")
    assert said == metadata
    assert list(found) == ["a"]


def test_a_file_without_metadata(tmp_path):
    np.savez(tmp_path / "scan.npz", a=np.ones(2))
    assert MetadataManager.load_with_metadata(tmp_path / "scan.npz")[1] is None


@pytest.mark.parametrize(
    ("arrays", "extra", "words"),
    [({"a": np.array(None, dtype=object)}, {}, "a would be pickled"), ({}, {"a": object()}, "as JSON")],
)
def test_what_needs_a_pickle_is_not_written(tmp_path, metadata, arrays, extra, words):
    with pytest.raises(DataError, match=words):
        MetadataManager.save_with_metadata(tmp_path / "scan.npz", arrays, metadata | extra)
    assert list(tmp_path.iterdir()) == []


def test_disagreement_is_said_and_agreement_is_not(metadata, config, caplog):
    assert MetadataManager.validate_parameters(metadata, config) == []
    assert caplog.records == []
    other = TrainingConfig(ModelConfig(N=64, gridsize=2), nphotons=1e9)
    found = MetadataManager.validate_parameters(metadata, other)
    assert [sentence.split()[0] for sentence in found] == ["nphotons", "N"]
    assert [record.getMessage() for record in caplog.records] == found
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    inference = InferenceConfig(ModelConfig(N=128, gridsize=1), Path("run"), Path("scan.npz"))
    assert [s.split()[0] for s in MetadataManager.validate_parameters(metadata, inference)] == ["gridsize"]
    assert MetadataManager.validate_parameters(None, config) == []


def test_history_grows_and_the_former_one_stays(metadata):
    once = MetadataManager.add_transformation_record(metadata, "crop", "crop to 64 px", {"size": 64})
    twice = MetadataManager.add_transformation_record(once, "thin", "every second frame")
    assert metadata["data_transformations"] == []
    assert [r["tool"] for r in twice["data_transformations"]] == ["crop", "thin"]
    assert twice["data_transformations"][0] | {"timestamp": ""} == {
        "tool": "crop",
        "timestamp": "",
        "operation": "crop to 64 px",
        "parameters": {"size": 64},
    }


def test_photons(metadata):
    assert MetadataManager.get_nphotons(metadata) == 2e6
    assert MetadataManager.get_nphotons(None) == 1e9
    assert MetadataManager.get_nphotons({"physics_parameters": {"nphotons": "1e6"}}) == 1e6
    assert MetadataManager.get_nphotons({"physics_parameters": {}}, default=3.0) == 3.0


@pytest.mark.parametrize("value", ["many", [1e6], {}, 0, -1.0, float("nan"), float("inf")])
def test_photons_that_are_no_number(value):
    with pytest.raises(DataError, match=r"found nphotons = .* in the metadata, expected a number above 0"):
        MetadataManager.get_nphotons({"physics_parameters": {"nphotons": value}})


def test_parameters_without_names(config, metadata):
    spoilt = metadata | {"physics_parameters": [1]}
    for use in (
        MetadataManager.get_nphotons,
        lambda spoilt: MetadataManager.validate_parameters(spoilt, config),
        lambda spoilt: MetadataManager.merge_metadata([metadata, spoilt]),
    ):
        with pytest.raises(
            DataError, match=r"found physics_parameters = \[1\] in the metadata, expected values by name"
        ):
            use(spoilt)


@pytest.mark.parametrize("name", ["file", "allow_pickle"])
def test_names_that_numpy_keeps(tmp_path, metadata, name):
    with pytest.raises(DataError, match=f"an array called {name}, a name that NumPy keeps"):
        MetadataManager.save_with_metadata(tmp_path / "scan.npz", {name: np.ones(2)}, metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["scan", "scan.2", "scan.npz"])
def test_a_file_is_called_what_numpy_would_call_it(tmp_path, metadata, name):
    (tmp_path / "ours").mkdir()
    np.savez(tmp_path / name, a=np.ones(2))
    MetadataManager.save_with_metadata(str(tmp_path / "ours" / name), {"a": np.ones(2)}, metadata)
    theirs = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert [path.name for path in (tmp_path / "ours").iterdir()] == theirs


def test_files_joined_keep_what_they_agree_on(metadata, caplog):
    other = MetadataManager.add_transformation_record(metadata, "flip", "flip x")
    other["physics_parameters"] = other["physics_parameters"] | {"nphotons": 1.0}
    merged = MetadataManager.merge_metadata([metadata, other], "join.py")
    assert "nphotons" not in merged["physics_parameters"]
    assert merged["physics_parameters"]["N"] == 128
    assert merged["additional_parameters"] == {"sample": "star"}
    assert merged["creation_info"]["script"] == "join.py"
    assert [r["tool"] for r in merged["data_transformations"]] == ["flip"]
    assert "disagree on nphotons" in caplog.text
    with pytest.raises(DataError, match="no metadata to merge"):
        MetadataManager.merge_metadata([])
