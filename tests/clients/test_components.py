"""The doors of the engine as Ptychodus and older scripts use them."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptycho import params
from ptycho.assembly.bilinear import cut
from ptycho.base.errors import BundleError, ConfigError, DataError
from ptycho.config import config as ptycho_config
from ptycho.config.config import ModelConfig, PyTorchExecutionConfig, TrainingConfig
from ptycho.raw_data import RawData
from ptycho.simulation.simulate import Simulation, expected_counts, simulate
from ptycho_torch.data_container_bridge import PtychoDataContainerTorch
from ptycho_torch.raw_data_bridge import RawDataTorch

pytest.importorskip("lightning")
torch = pytest.importorskip("torch")

from ptycho_torch.workflows import components  # noqa: E402

N = 32
CPU = PyTorchExecutionConfig(accelerator="cpu", enable_checkpointing=False)


@pytest.fixture(scope="module")
def scan():
    return simulate(Simulation(N=N, n_positions=40), np.random.default_rng(3))


def raw_of(scan, kind=RawData, **changes):
    y, x = scan.positions.T
    arrays = {"xcoords": x, "ycoords": y, "diff3d": scan.patterns, "probeGuess": scan.probe[0]}
    arrays |= {"scan_index": np.zeros(len(x), int), "objectGuess": scan.object_} | changes
    return kind.from_coords_without_pc(**arrays) if kind is RawData else kind(**arrays)


def choices(folder, **changes):
    model = ModelConfig(N=N, lean_width=8, gridsize=changes.pop("gridsize", 1))
    return TrainingConfig(model, nepochs=1, output_dir=folder, **({"neighbor_count": 5} | changes))


@pytest.fixture(scope="module")
def done(scan, tmp_path_factory):
    """A run with stitching: its folder, what the door returned, and the dictionary after it."""
    before = dict(params.cfg)
    folder = tmp_path_factory.mktemp("done")
    raw = raw_of(scan)
    returned = components.run_cdi_example_torch(raw, raw, choices(folder), do_stitching=True, execution_config=CPU)
    after = dict(params.cfg)
    params.cfg.clear()
    params.cfg.update(before)
    return folder, returned, after


# --- the order of things ----------------------------------------------------------------------------------------------


class Stop(Exception):
    """Raised by a spy, to show that nothing was done before."""


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("door", [components.run_cdi_example_torch, components.train_cdi_model_torch])
def test_the_dictionary_is_updated_before_anything_is_looked_at(monkeypatch, tmp_path, door):
    calls = []

    def spy(*arguments):
        calls.append(arguments)
        raise Stop

    monkeypatch.setattr(ptycho_config, "update_legacy_dict", spy)
    config = choices(tmp_path)
    with pytest.raises(Stop):
        door("not even a scan", None, config)
    [(dictionary, given)] = calls
    assert dictionary is params.cfg
    assert given is config


@pytest.mark.parametrize("door", [components.run_cdi_example_torch, components.train_cdi_model_torch])
def test_the_dictionary_is_updated_once(monkeypatch, tmp_path, scan, door):
    calls = []
    update = ptycho_config.update_legacy_dict

    def spy(dictionary, config):
        calls.append((dictionary, config))
        update(dictionary, config)

    monkeypatch.setattr(ptycho_config, "update_legacy_dict", spy)
    config = choices(tmp_path)
    results = door(raw_of(scan), None, config, execution_config=CPU)
    assert len(calls) == 1
    assert calls[0][0] is params.cfg
    assert calls[0][1] is config
    assert params.cfg["N"] == N
    found = results if isinstance(results, dict) else results[2]
    assert params.cfg["intensity_scale"] == found["intensity_scale"]


def test_loading_updates_the_dictionary_with_the_choices_of_the_bundle(monkeypatch, done):
    calls = []
    monkeypatch.setattr(ptycho_config, "update_legacy_dict", lambda *arguments: calls.append(arguments))
    components.load_inference_bundle_torch(done[0])
    [(dictionary, config)] = calls
    assert dictionary is params.cfg
    assert config == choices(done[0])


def test_raw_data_with_a_configuration_updates_the_dictionary(monkeypatch, scan, tmp_path):
    calls = []
    monkeypatch.setattr(ptycho_config, "update_legacy_dict", lambda *arguments: calls.append(arguments))
    config = choices(tmp_path)
    raw_of(scan, RawDataTorch)
    assert calls == []
    raw_of(scan, RawDataTorch, config=config)
    [(dictionary, given)] = calls
    assert dictionary is params.cfg
    assert given is config


# --- training and stitching -------------------------------------------------------------------------------------------


def test_without_stitching_there_are_no_images(scan, tmp_path):
    raw = raw_of(scan)
    amplitude, phase, results = components.run_cdi_example_torch(raw, raw, choices(tmp_path), execution_config=CPU)
    assert amplitude is phase is None
    assert results.keys() == {
        *("history", "history_epochs", "train_container", "test_container", "models", "intensity_scale")
    }
    assert results["history"].keys() == {"train_loss", "val_loss"}
    assert len(results["history"]["train_loss"]) == len(results["history"]["val_loss"]) == 1
    assert results["models"].keys() == {"diffraction_to_obj", "autoencoder"}
    assert (tmp_path / "wts.h5.zip").is_file()


def test_without_test_data_there_is_nothing_to_stitch(scan, tmp_path):
    config = choices(tmp_path, validation_fraction=0.0)
    images = components.run_cdi_example_torch(raw_of(scan), None, config, do_stitching=True, execution_config=CPU)
    assert images[:2] == (None, None)
    assert images[2]["test_container"] is None
    assert images[2]["history"]["val_loss"] is None


def test_with_stitching_there_are_images(done, scan):
    _, (amplitude, phase, results), _ = done
    assert amplitude.ndim == 2
    assert amplitude.shape == phase.shape == results["object"].shape
    np.testing.assert_allclose(amplitude * np.exp(1j * phase), results["object"], atol=1e-5)
    assert amplitude.std() > 0
    assert {"recon_amp", "recon_phase", "global_offsets", "containers", "reconstruction"} <= results.keys()
    np.testing.assert_array_equal(results["global_offsets"][:, 0, :, 0], scan.positions[:, ::-1])
    assert results["containers"]["test"] is results["test_container"]


def test_the_intensity_scale_carries_the_counts(done, scan):
    expected = math.sqrt(scan.counts_per_frame().mean(dtype=float)) / (N / 2)
    assert done[1][2]["intensity_scale"] == pytest.approx(expected, rel=1e-5)


def test_a_loaded_bundle_predicts_the_same_bits(done, scan):
    folder, (_, _, results), after = done
    models, dictionary = components.load_inference_bundle_torch(folder)
    assert models.keys() == {"diffraction_to_obj", "autoencoder"}
    counts = torch.as_tensor(scan.counts())
    with torch.no_grad():
        one, other = (m["diffraction_to_obj"].predict(counts) for m in (results["models"], models))
    assert torch.equal(one, other)
    assert dictionary == params.cfg == after
    assert dictionary["intensity_scale"] == results["intensity_scale"]
    assert dictionary["N"] == N
    assert dictionary is not params.cfg


def test_the_normalised_call_of_older_clients_is_the_same_prediction(done, scan):
    pinn = done[1][2]["models"]["diffraction_to_obj"]
    counts = torch.as_tensor(scan.counts(slice(0, 3)))
    amplitude = counts.sqrt()[:, None] / pinn.intensity_scale
    with torch.no_grad():
        old = pinn.forward_predict(amplitude, None, pinn.probe, torch.ones(3, 1, 1, 1))
        torch.testing.assert_close(old[:, 0], pinn.predict(counts), atol=1e-4, rtol=1e-4)


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    before = dict(params.cfg)
    with pytest.raises(BundleError, match=r"holds no wts\.h5\.zip"):
        components.load_inference_bundle_torch(tmp_path)
    assert params.cfg == before


@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_no_scan_is_refused(scan, tmp_path):
    with pytest.raises(TypeError, match=r"found str; read a file with RawData\.from_file"):
        components.train_cdi_model_torch("scan.npz", None, choices(tmp_path))
    with pytest.raises(TypeError, match="found Acquisition"):
        components.train_cdi_model_torch(raw_of(scan), scan, choices(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_patterns_of_another_size_than_the_choice_are_refused(scan, tmp_path):
    config = choices(tmp_path)
    config.model.N = 64
    with pytest.raises(DataError, match=r"32 x 32 px but model\.N is 64; set model\.N to 32"):
        components.train_cdi_model_torch(raw_of(scan), None, config, CPU)
    assert list(tmp_path.iterdir()) == []


def test_choices_are_checked_before_training(scan, tmp_path):
    with pytest.raises(ConfigError, match="batch_size is 0"):
        components.train_cdi_model_torch(raw_of(scan), None, choices(tmp_path, batch_size=0), CPU)


def test_nothing_but_the_data_and_the_choices_counts(done, scan, tmp_path):
    rng = np.random.default_rng(0)
    keys = list(params.cfg)
    for key, other in zip(keys, rng.permutation(keys), strict=True):
        params.cfg[key] = f"not {other}"
    raw = raw_of(scan)
    amplitude, phase, _ = components.run_cdi_example_torch(
        raw, raw, choices(tmp_path), do_stitching=True, execution_config=CPU
    )
    np.testing.assert_array_equal(amplitude, done[1][0])
    np.testing.assert_array_equal(phase, done[1][1])


# --- orientation ------------------------------------------------------------------------------------------------------

FLAGS = [(x, y, t) for x in (False, True) for y in (False, True) for t in (False, True)]


def disoriented(scan, flip_x, flip_y, transpose):
    """Return the scan as a beamline would store it whose stage and detector disagree in this way."""
    y, x = scan.positions.T
    if transpose:
        x, y = y, x
    return raw_of(scan, xcoords=-x if flip_x else x, ycoords=-y if flip_y else y, objectGuess=None)


def r_factor(raw, flip_x, flip_y, transpose):
    """Return how badly a few likelihood iterations from a flat object explain a scan that is read with these flags."""
    from ptycho.acquisition.orientation import in_detector_frame
    from ptycho.config.refinement import Refinement
    from ptycho_torch.data.scan import Scan
    from ptycho_torch.inference.estimate import Estimate
    from ptycho_torch.inference.refine import refine
    from ptycho_torch.physics.forward import place_on_canvas

    turned = in_detector_frame(raw.acquisition(), flip_x=flip_x, flip_y=flip_y, transpose=transpose)
    data = Scan.of(turned)
    placement, _ = place_on_canvas(data.positions, turned.size)
    flat = torch.ones(placement.object_shape, dtype=torch.complex64)
    start = Estimate(flat, torch.as_tensor(turned.probe))
    found = refine(start, data, placement, Refinement(12), held_out_fraction=0.0)
    return found.history["r_factor"][-1]


@pytest.fixture(scope="module")
def noise(scan):
    """Return the R-factor of the truth itself: what photons leave unexplained."""
    expected, measured = expected_counts(scan.object_, scan.probe, scan.positions), scan.counts()
    return np.abs(np.sqrt(expected) - np.sqrt(measured)).sum() / np.sqrt(measured).sum()


@pytest.mark.parametrize("truth", [(False, False, False), (True, False, False), (False, True, True)])
def test_only_the_right_flags_explain_a_scan(scan, noise, truth):
    raw = disoriented(scan, *truth)
    values = {flags: r_factor(raw, *flags) for flags in FLAGS}
    assert values.pop(truth) < 1.05 * noise
    assert min(values.values()) > 1.5 * noise


@pytest.mark.parametrize("flags", [(True, False, False), (False, True, True)])
def test_the_flags_bring_back_the_object(done, scan, tmp_path, flags):
    flip_x, flip_y, transpose = flags
    raw = disoriented(scan, *flags)
    amplitude, _, results = components.run_cdi_example_torch(
        raw, raw, choices(tmp_path), flip_x, flip_y, transpose, do_stitching=True, execution_config=CPU
    )
    upright = amplitude.T if transpose else amplitude
    np.testing.assert_allclose(upright, done[1][0], atol=1e-3)
    np.testing.assert_allclose(results["reconstruction"].positions, scan.positions)


# --- groups and containers --------------------------------------------------------------------------------------------


def container_of(scan, gridsize=1, **changes):
    return PtychoDataContainerTorch.from_raw_data(raw_of(scan, **changes), choices(Path(), gridsize=gridsize))


@pytest.mark.parametrize("gridsize", [1, 2])
def test_both_scans_draw_the_same_groups(scan, gridsize):
    one, other = (
        raw_of(scan, kind).generate_grouped_data(N, K=6, nsamples=10, seed=4, gridsize=gridsize)
        for kind in (RawData, RawDataTorch)
    )
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


def test_the_fourth_argument_of_groups_is_the_seed(scan):
    raw = raw_of(scan, RawDataTorch)
    given = raw.generate_grouped_data(N, 6, 10, 4, False, 2)
    np.testing.assert_array_equal(
        given["nn_indices"], raw.generate_grouped_data(N, K=6, nsamples=10, seed=4, gridsize=2)["nn_indices"]
    )


@pytest.mark.parametrize("gridsize", [1, 2, 3, 4, 5])
def test_a_container_holds_groups_channel_last(scan, tmp_path, gridsize):
    raw = raw_of(scan)
    config = choices(tmp_path, gridsize=gridsize, n_groups=7, subsample_seed=3)
    held = PtychoDataContainerTorch.from_raw_data(raw, config)
    members = gridsize**2
    assert len(held) == 7
    assert held.X.shape == held.Y.shape == held.Y_I.shape == held.Y_phi.shape == (7, N, N, members)
    assert (held.X.dtype, held.Y.dtype) == (torch.float32, torch.complex64)
    assert held.coords_nominal.shape == held.coords_true.shape == (7, 1, 2, members)
    assert held.coords_nominal.dtype == torch.float32
    assert held.local_offsets.dtype == held.global_offsets.dtype == torch.float64
    assert held.global_offsets.shape == (7, 1, 2, 1)
    assert held.nn_indices.shape == (7, members)
    assert held.nn_indices.dtype == torch.int32
    assert held.probe.dtype == torch.complex64
    assert (held.X.double() ** 2).sum(dim=(1, 2)).mean() == pytest.approx(N**2 / 4, rel=1e-5)
    torch.testing.assert_close(torch.polar(held.Y_I, held.Y_phi), held.Y)
    # [x, y], and minus the distance to the mean.
    xy = torch.as_tensor(scan.positions[:, ::-1].copy())[held.nn_indices.long()].movedim(1, 2)[:, None]
    torch.testing.assert_close(held.global_offsets - held.local_offsets, xy)
    torch.testing.assert_close(held.local_offsets.mean(dim=-1), torch.zeros(7, 1, 2, dtype=torch.float64))


def test_a_container_without_a_truth_has_ones(scan, tmp_path):
    held = PtychoDataContainerTorch.from_raw_data(raw_of(scan, objectGuess=None), choices(tmp_path))
    assert torch.equal(held.Y, torch.ones_like(held.Y))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda g: {k: v for k, v in g.items() if k != "X_full"}, DataError, "Missing required keys ['X_full']"),
        (lambda g: g | {"X_full": g["X_full"].astype(float)}, TypeError, "X_full has dtype float64; expected float32"),
        (lambda g: g | {"Y": g["Y"].astype(complex)}, ValueError, "DATA-001 violation"),
    ],
)
def test_a_container_refuses_what_it_can_not_hold(scan, change, error, says):
    grouped = raw_of(scan).generate_grouped_data(N, K=4, nsamples=5, gridsize=1)
    with pytest.raises(error) as refusal:
        PtychoDataContainerTorch(change(grouped), scan.probe)
    assert says in str(refusal.value)


@pytest.mark.parametrize("gridsize", [1, 2])
def test_a_container_gives_its_scan_back(scan, tmp_path, gridsize):
    n_groups = 40 if gridsize == 1 else 200
    config = choices(tmp_path, gridsize=gridsize, n_groups=n_groups, subsample_seed=1, enable_oversampling=gridsize > 1)
    held = PtychoDataContainerTorch.from_raw_data(raw_of(scan), config)
    back = held.acquisition(nphotons=1e6)
    kept = np.unique(held.nn_indices.numpy())
    assert len(kept) > 30
    np.testing.assert_allclose(back.positions, scan.positions[kept], rtol=0, atol=1e-12)
    before, after = scan.counts(slice(None))[kept].astype(float), back.counts().astype(float)
    factor = after.sum() / before.sum()
    np.testing.assert_allclose(after, factor * before, rtol=1e-4, atol=1e-5 * after.max())
    turn = (back.probe * scan.probe.conj()).sum() / (np.abs(scan.probe) ** 2).sum()
    np.testing.assert_allclose(back.probe, turn * scan.probe, atol=1e-4 * np.abs(back.probe).max())


@pytest.mark.parametrize("gridsize", [1, 2])
def test_a_container_hands_its_truth_on(scan, gridsize):
    with_object = container_of(scan, gridsize=gridsize).acquisition(nphotons=1e6)
    np.testing.assert_array_equal(with_object.object_, scan.object_)
    assert with_object.labels is None
    raw = raw_of(scan, objectGuess=None)
    raw.Y = cut(scan.object_, scan.positions, N)
    held = PtychoDataContainerTorch.from_raw_data(raw, choices(Path(), gridsize=gridsize))
    with_patches = held.acquisition(nphotons=1e6)
    np.testing.assert_array_equal(with_patches.labels, raw.Y[np.unique(held.nn_indices.numpy())])
    without = container_of(scan, objectGuess=None).acquisition(nphotons=1e6)
    assert without.object_ is without.labels is None


@pytest.mark.parametrize("gridsize", [3, 5])
def test_groups_of_every_size_go_through_the_doors(scan, tmp_path, gridsize):
    config = choices(tmp_path, gridsize=gridsize, neighbor_count=4, validation_fraction=0.0)
    raw = raw_of(scan)
    amplitude, _, results = components.run_cdi_example_torch(raw, None, config, execution_config=CPU)
    assert amplitude is None
    assert results["train_container"].X.shape[-1] == gridsize**2
    assert np.isfinite(results["history"]["train_loss"]).all()
    models, _ = components.load_inference_bundle_torch(tmp_path)
    assert models["diffraction_to_obj"].channels == gridsize**2


@pytest.mark.parametrize("held", [raw_of, container_of])
def test_a_network_learns_from_labels_through_the_doors(scan, tmp_path, held):
    config = choices(tmp_path)
    config.model.model_type = "supervised"
    amplitude, phase, results = components.run_cdi_example_torch(
        held(scan), held(scan), config, do_stitching=True, execution_config=CPU
    )
    assert np.isfinite(amplitude).all()
    assert np.isfinite(phase).all()
    # Even a flat network is near the truth; the losses in counts are above 0.2.
    assert 0 < results["history"]["val_loss"][0] < 0.2
    assert components.load_inference_bundle_torch(tmp_path)[1]["model_type"] == "supervised"
    with pytest.raises(DataError, match="no true patches in the training scan"):
        components.train_cdi_model_torch(held(scan, objectGuess=None), None, config, CPU)
    with pytest.raises(DataError, match="no true patches in the validation scan"):
        components.train_cdi_model_torch(held(scan), held(scan, objectGuess=None), config, CPU)


def test_a_network_trains_from_a_container(scan, tmp_path):
    config = choices(tmp_path)
    held = PtychoDataContainerTorch.from_raw_data(raw_of(scan), config)
    amplitude, _, results = components.run_cdi_example_torch(
        held, held, config, do_stitching=True, execution_config=CPU
    )
    assert results["train_container"] is held
    assert amplitude.std() > 0
    # Square roots of whole numbers tell their counts, whatever they were multiplied by.
    expected = math.sqrt(scan.counts_per_frame().mean(dtype=float)) / (N / 2)
    assert results["intensity_scale"] == pytest.approx(expected, rel=1e-3)


# --- the doors themselves ---------------------------------------------------------------------------------------------

DOORS = [
    "ptycho_torch.workflows.components",
    "ptycho_torch.raw_data_bridge",
    "ptycho_torch.data_container_bridge",
    "ptycho.raw_data",
    "ptycho.params",
    "ptycho.config.config",
]


def test_every_door_opens_without_torch():
    code = (
        "import sys, importlib; sys.modules['torch'] = None;"
        f"[importlib.import_module(door) for door in {DOORS}];"
        "from ptycho_torch.workflows import components as c; from ptycho.base.errors import BackendNotInstalledError\n"
        "assert not c.TORCH_AVAILABLE\n"
        "try: c.load_inference_bundle_torch('run')\n"
        "except BackendNotInstalledError as error: print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == 'torch is not installed; this step needs it: pip install "ptychopinn[torch]"\n'


def test_fields_of_the_configuration_are_overridden_by_name(scan, tmp_path):
    overrides = {"nepochs": 2, "lean_width": 16}
    results = components.train_cdi_model_torch(raw_of(scan), None, choices(tmp_path), CPU, overrides=overrides)
    assert results["history_epochs"] == [0, 1]
    _, parameters = components.load_inference_bundle_torch(bundle_dir=tmp_path, model_name="diffraction_to_obj")
    assert parameters["lean_width"] == 16
    with pytest.raises(ConfigError, match="nepoch"):
        components.train_cdi_model_torch(raw_of(scan), None, choices(tmp_path), CPU, overrides={"nepoch": 2})
