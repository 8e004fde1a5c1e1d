"""Networks by the names of the older library, in a bundle."""

import logging

import numpy as np
import pytest

from ptycho import params
from ptycho.base.errors import BundleError, ConfigError
from ptycho.config.config import ModelConfig, TrainingConfig
from ptycho_torch.model_manager import load_torch_bundle, save_torch_bundle

torch = pytest.importorskip("torch")

from ptycho_torch.pinn.build import Constants, build  # noqa: E402
from tests.laws.scans import small_scan  # noqa: E402

CONFIG = TrainingConfig(ModelConfig(N=32, lean_width=8), nepochs=3, n_subsample=20)


@pytest.fixture(scope="module")
def models():
    pinn = build(CONFIG.model, CONFIG, Constants.of(small_scan()))
    return {"diffraction_to_obj": pinn, "autoencoder": pinn}


def test_a_bundle_there_and_back(models, tmp_path):
    save_torch_bundle(models, tmp_path / "wts.h5", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["wts.h5.zip"]
    found, dictionary = load_torch_bundle(str(tmp_path / "wts.h5"), model_name="diffraction_to_obj")
    assert set(found) == {"diffraction_to_obj", "autoencoder"}
    for name, tensor in models["diffraction_to_obj"].state_dict().items():
        assert torch.equal(found["diffraction_to_obj"].state_dict()[name], tensor), name
    assert (dictionary["N"], dictionary["nepochs"], dictionary["n_subsample"]) == (32, 3, 20)
    assert dictionary["intensity_scale"] == pytest.approx(models["diffraction_to_obj"].intensity_scale)
    assert dictionary == params.cfg


def test_another_intensity_scale_is_told_and_not_kept(models, tmp_path, caplog):
    own = models["diffraction_to_obj"].intensity_scale
    save_torch_bundle(models, tmp_path / "same", CONFIG, intensity_scale=own)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        save_torch_bundle(models, tmp_path / "other", CONFIG, intensity_scale=2 * own)
    assert "the latter is kept" in caplog.text
    assert load_torch_bundle(tmp_path / "other")[1]["intensity_scale"] == pytest.approx(own)


def test_names_that_are_not_the_two_are_told(models, tmp_path):
    with pytest.warns(UserWarning, match="expected .*autoencoder"):
        save_torch_bundle({"diffraction_to_obj": models["diffraction_to_obj"]}, tmp_path / "one", CONFIG)
    assert (tmp_path / "one.zip").is_file()


@pytest.mark.parametrize(
    "wrong", [{}, {"autoencoder": None}, {"diffraction_to_obj": np.zeros(3)}, {"diffraction_to_obj": torch.nn.ReLU()}]
)
def test_what_is_no_network_is_refused(wrong, tmp_path):
    with pytest.raises(ConfigError, match="expected a trained PtychoPINN"):
        save_torch_bundle(wrong, tmp_path / "wts.h5", CONFIG)
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="model_name is 'encoder'"):
        load_torch_bundle(tmp_path / "wts.h5", "encoder")
    with pytest.raises(BundleError, match=r"wts\.h5\.zip does not exist"):
        load_torch_bundle(tmp_path / "wts.h5")
