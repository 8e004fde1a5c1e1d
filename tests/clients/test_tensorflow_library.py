"""The call sequences that clients of the older TensorFlow library make, on this engine."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ptycho import params
from ptycho.base.errors import BundleError, ConfigError, DataError
from ptycho.config.config import InferenceConfig, ModelConfig, TrainingConfig, update_legacy_dict
from ptycho.raw_data import RawData
from ptycho.simulation.simulate import Simulation, simulate

pytest.importorskip("lightning")

import ptycho.loader
import ptycho.model
import ptycho.model_manager
import ptycho.probe
import ptycho.tf_helper
from ptycho.workflows import components
from ptycho.workflows.backend_selector import load_inference_bundle_with_backend

N = 32


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=N, n_positions=40, photons=3e4), np.random.default_rng(3))


def raw_of(scan, dtype=np.uint16, probe=None):
    """A scan as Ptychodus hands it over: probe modes, counts, positions that name the middle of a patch."""
    y, x = scan.positions.T - 0.5
    probe = scan.probe if probe is None else probe
    index = np.zeros(len(x), int)
    return RawData.from_coords_without_pc(x, y, scan.patterns.astype(dtype), probe, index, scan.object_)


def trained(scan, folder, gridsize=1, **changes):
    config = TrainingConfig(model=ModelConfig(N=0, gridsize=gridsize), nepochs=1, output_dir=Path(), **changes)
    config.model.N = N
    config.model.lean_width = 8
    update_legacy_dict(params.cfg, config)
    returned = components.run_cdi_example(raw_of(scan), raw_of(scan), config)
    ptycho.model_manager.save(folder)
    return returned


def image_of(scan, model, gridsize=1, n_samples=None, dtype=np.uint16):
    raw = raw_of(scan, dtype)
    ptycho.probe.set_probe_guess(None, raw.probeGuess)
    grouped = raw.generate_grouped_data(N, K=gridsize**2 + 3, nsamples=n_samples or len(raw.xcoords), gridsize=gridsize)
    container = ptycho.loader.load(lambda: grouped, raw.probeGuess, which=None, create_split=False)
    scale = params.get("intensity_scale")
    objects = model.predict([container.X * scale, container.local_offsets])
    assert objects.shape == (len(container), N, N, 1)
    return ptycho.tf_helper.reassemble_position(objects, container.global_offsets, M=20)


@pytest.fixture(scope="module", params=[1, 2, 3], ids="gridsize {}".format)
def run(request, scan, tmp_path_factory):
    """A trained bundle, what the door returned, and what it wrote into the working directory."""
    folder, elsewhere, before = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("cwd"), dict(params.cfg)
    home = Path.cwd()
    os.chdir(elsewhere)
    try:
        returned = trained(scan, folder, request.param)
    finally:
        os.chdir(home)
        params.cfg.clear()
        params.cfg.update(before)
    return folder, returned, list(elsewhere.rglob("*")), request.param


def test_training_returns_results_and_writes_nothing_into_the_working_directory(run):
    folder, (amplitude, phase, results), written, _ = run
    assert amplitude is phase is None
    assert written == []
    assert [file.name for file in folder.iterdir()] == ["wts.h5.zip"]
    assert len(results["history"]["train_loss"]) == 1
    assert results["intensity_scale"] > 0
    assert results["model_instance"].pinn is results["models"]["diffraction_to_obj"]


def test_a_bundle_gives_an_object_in_the_frame_of_the_scans_own(run, scan):
    folder, _, _, gridsize = run
    update_legacy_dict(params.cfg, InferenceConfig(ModelConfig(N=N, gridsize=gridsize), Path(), Path()))
    model, dictionary = components.load_inference_bundle(folder)
    assert dictionary["gridsize"] == gridsize
    assert ptycho.model.params()["intensity_scale"] == params.get("intensity_scale")
    image = np.squeeze(image_of(scan, model, gridsize))
    assert type(image) is np.ndarray
    assert image.shape == scan.object_.shape
    assert np.iscomplexobj(image)
    assert np.isfinite(image).all()
    assert (image != 0).mean() > 0.5


def test_stitched_patches_are_those_that_the_engine_stitches(scan, tmp_path):
    trained(scan, tmp_path)
    model, _ = components.load_inference_bundle(tmp_path)
    image = np.squeeze(image_of(scan, model))
    config = TrainingConfig(ModelConfig(N=N))
    _, _, results = components.reassemble_cdi_image(raw_of(scan), config)
    found = results["reconstruction"]
    top, left = found.origin.astype(int)
    height, width = found.object_.shape
    inside = image[max(top, 0) : top + height, max(left, 0) : left + width]
    rows, columns = (
        slice(max(-start, 0), max(-start, 0) + n) for start, n in zip((top, left), inside.shape, strict=True)
    )
    # Where a hundredth of the light fell, rounding of the division is all over the place.
    lit = found.coverage[rows, columns] > 0.01 * found.coverage.max()
    ratio = inside[lit] / found.object_[rows, columns][lit]
    # The engine also solves the scale of the object; what remains is one factor.
    np.testing.assert_allclose(ratio, np.median(ratio.real), rtol=2e-3)


def test_counts_of_any_integer_type_are_the_same_scan(scan, tmp_path):
    trained(scan, tmp_path)
    model, _ = components.load_inference_bundle(tmp_path)
    np.testing.assert_allclose(image_of(scan, model, dtype=np.uint16), image_of(scan, model, dtype=np.uint32))


def test_one_patch_of_a_scan_is_warned_about(scan, tmp_path, caplog):
    trained(scan, tmp_path)
    model, _ = components.load_inference_bundle(tmp_path)
    image = image_of(scan, model, n_samples=1)
    assert image.shape == (*scan.object_.shape, 1)
    assert "ask for 40" in caplog.text
    caplog.clear()
    image_of(scan, model)
    assert "one patch" not in caplog.text


def unpacked(bundle, folder):
    with zipfile.ZipFile(bundle / "wts.h5.zip") as archive:
        archive.extractall(folder)
    return folder


def below(bundle, folder):
    shutil.copytree(bundle, folder / "older")
    os.utime(folder / "older" / "wts.h5.zip", (1, 1))
    shutil.copytree(bundle, folder / "newest")
    (folder / "older" / "wts.h5.zip").write_bytes(b"not this one")
    os.utime(folder / "older" / "wts.h5.zip", (1, 1))
    return folder


def unpacked_below(bundle, folder):
    (folder / "other").mkdir()
    (folder / "other" / "manifest.json").write_text("of something else")
    unpacked(bundle, folder / "run")
    return folder


def copied(bundle, folder):
    shutil.copy(bundle / "wts.h5.zip", folder / "model.zip")
    return folder


def copied_below(bundle, folder):
    (folder / "run").mkdir()
    copied(bundle, folder / "run")
    return folder


def the_file(bundle, folder):
    return bundle / "wts.h5.zip"


@pytest.mark.parametrize("place", [unpacked, below, unpacked_below, copied, copied_below, the_file])
def test_a_bundle_is_found_where_clients_leave_it(scan, tmp_path, place):
    bundle, folder = tmp_path / "bundle", tmp_path / "place"
    folder.mkdir()
    trained(scan, bundle)
    expected = components.load_inference_bundle(bundle)[0]
    found = components.load_inference_bundle(place(bundle, folder))[0]
    np.testing.assert_array_equal(image_of(scan, expected), image_of(scan, found))


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_a_missing_bundle_is_named_and_is_the_error_that_older_clients_catch(tmp_path, missing):
    with pytest.raises(FileNotFoundError, match=r"wts\.h5\.zip"):
        components.load_inference_bundle(tmp_path / missing)
    with pytest.raises(BundleError):
        components.load_inference_bundle(tmp_path / missing)


def test_a_folder_that_is_not_there_is_named_and_no_file_beside_it_is_opened(scan, tmp_path):
    trained(scan, tmp_path / "run")
    shutil.copy(tmp_path / "run" / "wts.h5.zip", tmp_path / "nope.zip")
    config = InferenceConfig(ModelConfig(N=N), Path(), Path())
    for load in (components.load_inference_bundle, lambda folder: load_inference_bundle_with_backend(folder, config)):
        with pytest.raises(FileNotFoundError, match="nope does not exist"):
            load(tmp_path / "nope")
    assert set(ptycho.model_manager.load_multiple_models(tmp_path / "nope")) == {"autoencoder", "diffraction_to_obj"}


def test_a_folder_without_a_bundle_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(BundleError, match=r"holds no wts\.h5\.zip, but notes\.txt; expected"):
        components.load_inference_bundle(tmp_path)


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_another_engine_than_this_is_said_when_a_bundle_is_loaded(scan, tmp_path, caplog, backend):
    trained(scan, tmp_path)
    config = InferenceConfig(ModelConfig(N=N), Path(), Path(), backend=backend)
    load_inference_bundle_with_backend(tmp_path, config)
    said = [line for line in caplog.messages if "backend is tensorflow" in line]
    assert len(said) == (backend == "tensorflow")
    assert all("`ptycho convert`" in line for line in said)


def test_groups_that_the_network_does_not_know_are_refused(scan, tmp_path):
    trained(scan, tmp_path)
    model, _ = components.load_inference_bundle(tmp_path)
    with pytest.raises(DataError, match="gridsize 1"):
        image_of(scan, model, gridsize=2)


def test_images_are_saved_by_their_older_names_and_only_where_there_are_any(scan, tmp_path):
    config = TrainingConfig(ModelConfig(N=N, lean_width=8), nepochs=1, output_dir=tmp_path / "unused")
    amplitude, phase, results = components.run_cdi_example(raw_of(scan), raw_of(scan), config, do_stitching=True)
    assert amplitude.shape == phase.shape
    assert amplitude.shape[2:] == (1,)
    components.save_outputs(None, None, results, str(tmp_path / "none"))
    components.save_outputs(amplitude, phase, results, str(tmp_path / "out"))
    assert sorted(file.name for file in tmp_path.rglob("*")) == [
        "out",
        "reconstructed_amplitude.png",
        "reconstructed_phase.png",
    ]


def test_positions_are_flipped_exchanged_and_scaled(scan, tmp_path):
    config = TrainingConfig(ModelConfig(N=N, lean_width=8), nepochs=1, output_dir=tmp_path)
    raw = raw_of(scan)
    components.run_cdi_example(raw, None, config)
    own = scan.positions
    for axes, expected in (
        ({"flip_x": True}, own * [1, -1]),
        ({"flip_y": True}, own * [-1, 1]),
        ({"transpose": True}, own[:, ::-1]),
        ({"coord_scale": 1.5}, own * 1.5),
    ):
        _, _, results = components.reassemble_cdi_image(raw, config, **axes)
        np.testing.assert_allclose(results["global_offsets"][:, 0, ::-1, 0], expected)


def test_containers_train_too_and_anything_else_does_not(scan):
    config = TrainingConfig(ModelConfig(N=N, lean_width=8), nepochs=1, n_groups=40)
    container = components.create_ptycho_data_container(raw_of(scan), config)
    assert components.create_ptycho_data_container(container, config) is container
    np.testing.assert_allclose(container.acquisition().positions, scan.positions)
    assert len(components.train_cdi_model(container, None, config)["history"]["train_loss"]) == 1
    with pytest.raises(TypeError, match="RawData or PtychoDataContainer"):
        components.create_ptycho_data_container("scan", config)


def test_a_split_gives_its_two_parts(scan):
    raw = raw_of(scan)
    grouped = raw.generate_grouped_data(N, nsamples=40, gridsize=1)
    parts = [ptycho.loader.load(lambda: (grouped, 0.25), raw.probeGuess, which, True) for which in ("train", "test")]
    assert [len(part) for part in parts] == [10, 30]
    assert parts[1].global_offsets.object_shape == scan.object_.shape
    with pytest.raises(ConfigError, match="'train' or 'test'"):
        ptycho.loader.load(lambda: (grouped, 0.25), raw.probeGuess, None, True)


def test_the_probe_is_stored_normalised_and_never_guessed_from_patterns(scan):
    ptycho.probe.set_probe_guess(None, scan.probe)
    first = ptycho.probe.get_probe()
    ptycho.probe.set_probe_guess(None, 7 * scan.probe[0])
    np.testing.assert_allclose(ptycho.probe.get_probe(), first, rtol=1e-5)
    with pytest.raises(ConfigError, match="probeGuess"):
        ptycho.probe.set_probe_guess(np.ones((4, N, N)))


def test_saving_without_a_network_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ptycho.legacy.trained._held", {})
    with pytest.raises(ConfigError, match="run_cdi_example"):
        ptycho.model_manager.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_flags_become_a_configuration_that_the_dictionary_follows_until_it_is_sealed(tmp_path, caplog):
    (tmp_path / "choices.yaml").write_text("nepochs: 7\nbatch_size: 8\nmodel:\n  gridsize: 2\n")
    config = components.setup_configuration(components.parse_arguments(["--nepochs", "3"]), tmp_path / "choices.yaml")
    assert (config.nepochs, config.batch_size, config.model.gridsize) == (3, 8, 2)
    assert (params.cfg["nepochs"], params.cfg["gridsize"]) == (3, 2)
    params.set("gridsize", 1)
    assert "post-seal" in caplog.text
    params.unseal()


def test_a_file_is_loaded_as_a_scan_that_trains(scan, tmp_path):
    raw_of(scan, probe=scan.probe[0]).to_file(tmp_path / "scan.npz")
    loaded = components.load_data(tmp_path / "scan.npz", n_subsample=20, subsample_seed=3)
    assert type(loaded) is RawData
    assert len(loaded.xcoords) == len(loaded.sample_indices) == 20
    config = TrainingConfig(ModelConfig(N=N, lean_width=8), nepochs=1, output_dir=tmp_path)
    assert len(components.train_cdi_model(loaded, None, config)["history"]["train_loss"]) == 1


@pytest.mark.parametrize("labels", [np.complex128, np.float64, np.complex64])
def test_labels_of_any_kind_do_not_cost_a_training(scan, labels):
    raw = raw_of(scan)
    raw.Y = np.ones(scan.patterns.shape, labels)
    config = TrainingConfig(ModelConfig(N=N, lean_width=8), nepochs=1)
    results = components.train_cdi_model(raw, None, config)
    assert results["train_container"].Y.dtype == np.complex64


def test_bad_pixels_reach_groups_and_containers(scan):
    hot = scan.patterns.astype(np.float32)
    hot[:, 3, 4] = 60000.37
    raw, clean = raw_of(scan, np.float32), raw_of(scan, np.float32)
    raw.diff3d = hot
    raw.bad_pixels = np.zeros((N, N), bool)
    raw.bad_pixels[3, 4] = True
    clean.diff3d = clean.diff3d.copy()
    clean.diff3d[:, 3, 4] = 0
    config = TrainingConfig(ModelConfig(N=N), n_groups=40, subsample_seed=1)
    found, expected = (components.create_ptycho_data_container(each, config) for each in (raw, clean))
    np.testing.assert_allclose(found.X, expected.X)
    assert not found.acquisition().mask[3, 4]
    assert raw.acquisition().quantity == clean.acquisition().quantity == "counts"


def test_containers_are_made_of_the_arrays_that_older_scripts_have(scan):
    made = components.create_ptycho_data_container(raw_of(scan), TrainingConfig(ModelConfig(N=N), n_groups=40))
    names = ("X", "Y_I", "Y_phi", "norm_Y_I", "YY_full", "coords_nominal", "coords_true", "nn_indices")
    arrays = [getattr(made, name) for name in names]
    again = ptycho.loader.PtychoDataContainer(*arrays, made.global_offsets, made.local_offsets, made.probe)
    np.testing.assert_allclose(again.Y, made.Y, rtol=1e-5)
    np.testing.assert_allclose(again.acquisition().positions, made.acquisition().positions)


def test_inputs_that_do_not_belong_together_are_refused(scan, tmp_path):
    trained(scan, tmp_path)
    model, _ = components.load_inference_bundle(tmp_path)
    X, offsets = np.ones((4, N, N, 1), np.float32), np.zeros((4, 1, 2, 1))
    for inputs in ([X], [X, offsets[:3]], [X[:0], offsets[:0]]):
        with pytest.raises(DataError, match="expected"):
            model.predict(inputs)


def test_images_without_a_reconstruction_are_drawn_over_what_is_lit(tmp_path):
    amplitude = np.zeros((20, 20, 1))
    amplitude[5:15, 5:15] = np.linspace(0.5, 1, 10)[:, None, None]
    components.save_outputs(amplitude, amplitude / 10, {}, str(tmp_path))
    from matplotlib.image import imread

    drawn = imread(tmp_path / "reconstructed_amplitude.png")[5:15, 5:15, 0]
    assert drawn.std() > 0.2
