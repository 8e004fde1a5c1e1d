"""The older PyTorch library in the order of calls that Ptychodus 1.7.0 makes, without Ptychodus."""

import logging
import pickle
import re
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.linalg import norm

from ptycho.assembly.stitch import stitch
from ptycho.base.errors import BundleError, ConfigError, DataError, OutputError
from ptycho.interop.frames import on_grid
from ptycho.metrics.align import align
from ptycho.simulation.simulate import Simulation, expected_counts, simulate
from ptycho_torch.config_params import DataConfig, DatagenConfig, InferenceConfig, ModelConfig, TrainingConfig

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch")

from ptycho_torch.api.base_api import (  # noqa: E402
    ConfigManager,
    DataloaderFormats,
    InferenceEngine,
    PtychoDataLoader,
    PtychoModel,
    Trainer,
)
from ptycho_torch.lightning_utils import find_best_checkpoint  # noqa: E402
from ptycho_torch.model import PtychoPINN_Lightning  # noqa: E402

N = 32
TOP = 2  # rows and columns of the simulated object before the client's begins


# --- what the client has ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """A scan as the client holds it: counts, positions (y, x) px of its own object's pixels, probe modes, object."""

    patterns: np.ndarray
    positions: np.ndarray
    probe: np.ndarray
    object_: np.ndarray

    def export(self, path):
        """Write the file that the client exports."""
        y, x = self.positions.T
        np.savez(
            path,
            xcoords=x,
            ycoords=y,
            xcoords_start=x,
            ycoords_start=y,
            diff3d=self.patterns,
            bad_pixels=np.zeros((N, N), bool),
            probeGuess=self.probe,
            objectGuess=self.object_,
            scan_index=np.zeros(len(x), dtype=int),
        )


def product(seed=0, **choices):
    """Return a simulated scan whose middle is the middle of its object, as the client lays it out."""
    choices = {"n_positions": 40, "photons": 1e5} | choices
    scan = simulate(Simulation(N=N, **choices), np.random.default_rng(seed))
    ends = scan.positions.min(axis=0) + scan.positions.max(axis=0)
    positions = scan.positions + (np.floor(ends) - ends) / 2
    counts = np.random.default_rng(seed).poisson(expected_counts(scan.object_, scan.probe, positions))
    assert counts.max() < 2**16
    height, width = np.rint(np.floor(ends) - 2 * TOP).astype(int)
    return Product(
        counts.astype(np.uint16),
        # Measured to the middle of a patch, half a pixel before index N // 2.
        positions - 0.5 - TOP,
        scan.probe,
        scan.object_[TOP : TOP + height, TOP : TOP + width],
    )


def choices(C=1, **training):
    gridsize = round(C**0.5)
    passed = {"epochs": 3, "device": "cpu", "strategy": "ddp_spawn", "orchestrator": "Lightning", "batch_size": 10}
    return ConfigManager(
        data_config=DataConfig(N=128, C=C, grid_size=(gridsize, gridsize), n_subsample=1),
        model_config=ModelConfig(C_model=C, C_forward=C, decoder_last_amp_channels=C, probe_mask=None),
        training_config=TrainingConfig(**(passed | {"warmup_epochs": 0, "min_lr_ratio": 0.1} | training)),
        inference_config=InferenceConfig(),
        datagen_config=DatagenConfig(),
    )


class Losses(lightning.Callback):
    """Collects losses as the client does."""

    def __init__(self, train_name, val_name):
        self.names = {"train": train_name, "val": val_name}
        self.losses = {"train": [], "val": []}

    def _keep(self, kind, trainer):
        value = trainer.callback_metrics.get(self.names[kind])
        if value is not None:
            self.losses[kind].append((trainer.current_epoch, float(value)))

    def on_train_epoch_end(self, trainer, pl_module):
        self._keep("train", trainer)

    def on_validation_epoch_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self._keep("val", trainer)


# --- the client's calls -----------------------------------------------------------------------------------------------


def train(data_dir, output_dir, manager):
    """Return the loader, the losses and the checkpoint of a training."""
    loader = PtychoDataLoader(
        data_dir=data_dir,
        config_manager=manager,
        data_format=DataloaderFormats("lightning_only_module"),
        output_dir=output_dir,
    )
    model = PtychoModel._new_model(model=PtychoPINN_Lightning, config_manager=manager)
    trainer = Trainer._from_lightning(model=model, dataloader=loader, orchestration="lightning", config_manager=manager)
    losses = Losses(model.model.loss_name, model.model.val_loss_name)
    trainer._trainer.callbacks.append(losses)
    trainer.train(orchestration="lightning", experiment_name="")
    return loader, losses.losses, find_best_checkpoint(Path(loader.output_dir))


def load(checkpoint):
    data, model, training, inference = PtychoModel._extract_configs_from_checkpoint(str(checkpoint))
    configs = {"model_config": model, "data_config": data, "training_config": training, "inference_config": inference}
    assert None not in configs.values()
    loaded = PtychoModel(**configs)
    loaded.model = PtychoPINN_Lightning.load_from_checkpoint(checkpoint, **configs)
    manager = ConfigManager.from_loaded_model(loaded)
    manager.validate_arch_compatibility(loaded)
    return loaded, manager


def reconstruct(checkpoint, scan):
    loaded, manager = load(checkpoint)
    engine = InferenceEngine(config_manager=manager, ptycho_model=loaded)
    loader = PtychoDataLoader.from_np(
        diff_patterns=scan.patterns, probe=scan.probe, positions=scan.positions, config_manager=manager
    )
    return np.asarray(engine.predict_and_stitch(loader))


def predict(checkpoint, scan):
    loaded, manager = load(checkpoint)
    loader = PtychoDataLoader.from_np(scan.patterns, scan.probe, scan.positions, manager)
    return InferenceEngine(manager, loaded).predict(loader)


@dataclass(frozen=True)
class Done:
    """A training from end to end."""

    training: Product
    validation: Product
    manager: ConfigManager
    folder: Path
    loader: PtychoDataLoader
    losses: dict
    checkpoint: Path


@pytest.fixture(scope="module", params=[(1, 1), (4, 3)], ids=["one pattern, one mode", "groups of 4, three modes"])
def done(request, tmp_path_factory):
    C, n_modes = request.param
    folder = tmp_path_factory.mktemp("library")
    scans = product(n_modes=n_modes), product(seed=1, n_modes=n_modes, n_positions=20)
    (folder / "in").mkdir()
    scans[0].export(folder / "in" / "train_data.npz")
    scans[1].export(folder / "in" / "test_data.npz")
    manager = choices(C)
    loader, losses, checkpoint = train(folder / "in", folder / "out", manager)
    return Done(*scans, manager, folder, loader, losses, checkpoint)


# --- training ---------------------------------------------------------------------------------------------------------


def test_losses_of_every_epoch_reach_a_callback_that_was_added(done):
    for kind in ("train", "val"):
        assert [epoch for epoch, _ in done.losses[kind]] == [0, 1, 2]
        assert all(np.isfinite(value) for _, value in done.losses[kind])
    assert done.losses["train"][-1][1] < done.losses["train"][0][1]


def test_everything_written_lies_in_one_folder_of_the_run(done):
    assert {path.name for path in done.folder.iterdir()} == {"in", "out"}
    assert {path.name for path in (done.folder / "in").iterdir()} == {"train_data.npz", "test_data.npz"}
    [run] = (done.folder / "out").iterdir()
    assert run == done.loader.output_dir
    assert re.fullmatch(r"run_\d{8}_\d{6}", run.name)
    assert done.checkpoint == run / "checkpoints" / "best-checkpoint.ckpt"


def test_the_held_out_file_is_never_trained_on(done):
    assert len(done.loader.training.patterns) == 40
    assert len(done.loader.validation.patterns) == 20
    trainer = Trainer._from_lightning(
        model=PtychoModel._new_model(model=PtychoPINN_Lightning, config_manager=done.manager),
        dataloader=done.loader,
        orchestration="lightning",
        config_manager=done.manager,
    )
    data = trainer._run.data
    assert data.training is done.loader.training
    assert data.validation is done.loader.validation
    assert data.split.training.tolist() == list(range(40))
    assert data.split.validation.tolist() == list(range(20))


def test_runs_of_one_second_have_folders_of_their_own(done, tmp_path):
    again = [
        PtychoDataLoader(done.folder / "in", done.manager, output_dir=tmp_path / "again").output_dir for _ in range(3)
    ]
    assert len(set(again)) == 3
    assert all(folder.is_dir() for folder in again)


# --- the checkpoint ---------------------------------------------------------------------------------------------------


def test_the_checkpoint_is_a_bundle_without_pickle(done):
    with zipfile.ZipFile(done.checkpoint) as archive:
        assert sorted(archive.namelist()) == ["config.json", "manifest.json", "weights.safetensors"]


def test_the_checkpoint_knows_its_choices(done):
    data, model, training, inference = PtychoModel._extract_configs_from_checkpoint(str(done.checkpoint))
    C = done.manager.data_config.C
    assert (data.N, data.C, data.K) == (N, C, 6)
    assert data.grid_size == done.manager.data_config.grid_size
    assert (model.mode, model.loss_function, model.C_model, model.C_forward) == ("Unsupervised", "Poisson", C, C)
    assert (training.epochs, training.batch_size, training.nll) == (3, 10, True)
    assert inference == InferenceConfig()


def test_a_checkpoint_of_any_name_in_any_place_gives_the_same_object(done, tmp_path):
    here = reconstruct(done.checkpoint, done.validation)
    copy = shutil.copy(done.checkpoint, tmp_path / "my model.ckpt")
    np.testing.assert_array_equal(reconstruct(Path(copy), done.validation), here)


# --- reconstruction ---------------------------------------------------------------------------------------------------


def test_the_object_has_the_client_s_shape(done):
    found = reconstruct(done.checkpoint, done.validation)
    assert found.shape == done.validation.object_.shape
    assert found.dtype == np.complex64
    assert np.isfinite(found).all()
    middle = found[N // 2 : -N // 2, N // 2 : -N // 2]
    assert (middle != 0).all()
    assert np.abs(found[0, 0]) == 0


@pytest.mark.parametrize("dtype", [">u2", np.int32, np.uint32, np.float32, np.float64])
def test_counts_of_any_type_give_the_same_object(done, dtype):
    scan = done.validation
    other = replace(scan, patterns=scan.patterns.astype(dtype))
    np.testing.assert_array_equal(reconstruct(done.checkpoint, other), reconstruct(done.checkpoint, scan))


def test_a_batch_larger_than_memory_allows_is_cut(done, monkeypatch, caplog):
    loaded, manager = load(done.checkpoint)
    engine = InferenceEngine(config_manager=manager, ptycho_model=loaded)
    scan = done.validation
    data = PtychoDataLoader.from_np(scan.patterns, scan.probe, scan.positions, manager)
    whole = engine.predict_and_stitch(data)
    monkeypatch.setattr("ptycho_torch.clients.library.engine.MOST_PIXELS", 5 * manager.data_config.C * N**2)
    with caplog.at_level(logging.INFO, logger="ptycho_torch"):
        parts = engine.predict_and_stitch(data)
    assert "5 groups go through the network at once" in caplog.text
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_a_loader_of_files_can_be_reconstructed_too(done):
    loaded, manager = load(done.checkpoint)
    found = InferenceEngine(config_manager=manager, ptycho_model=loaded).predict_and_stitch(done.loader)
    np.testing.assert_allclose(found, reconstruct(done.checkpoint, done.validation), atol=1e-5)


def test_patterns_of_another_size_are_refused_in_one_line(done):
    scan, middle = done.validation, slice(N // 4, -N // 4)
    smaller = replace(scan, patterns=scan.patterns[:, middle, middle], probe=scan.probe[:, middle, middle])
    refusal = f"patterns are {N // 2} x {N // 2} px but the network was trained on {N} x {N}"
    with pytest.raises(DataError, match=refusal):
        reconstruct(done.checkpoint, smaller)
    with pytest.raises(DataError, match=refusal):
        predict(done.checkpoint, smaller)


def test_patches_are_those_of_their_patterns(done):
    """Stitched with the light on them, where the scan says, they are the object."""
    scan = done.validation
    patches = predict(done.checkpoint, scan)
    assert patches.shape == scan.patterns.shape
    light = (np.abs(scan.probe) ** 2).sum(axis=0)
    canvas, _, origin = stitch(patches, scan.positions + 0.5, light)
    found, seen = reconstruct(done.checkpoint, scan), slice(N // 2, -N // 2)
    laid = on_grid(canvas, origin, found.shape)[seen, seen]
    alike = np.vdot(laid, found[seen, seen]) / norm(laid) / norm(found[seen, seen])
    # A group's other members add their own guesses of a pattern, so only a network of single patterns gives the same.
    assert abs(alike) > (0.99 if done.manager.data_config.C > 1 else 0.999999)


def assert_learned(found, scan):
    """Nearer to the truth than a flat object, and in its place to a fraction of the half pixel between conventions."""
    seen = np.zeros(found.shape, bool)
    seen[N // 2 : -N // 2, N // 2 : -N // 2] = True
    aligned = align(found, scan.object_, seen)
    assert np.abs(aligned.shift).max() < 0.1
    truth = scan.object_[seen]
    left, flat = (norm(image - truth) for image in (aligned.image[seen], np.full_like(truth, truth.mean())))
    assert left < 0.4 * flat


def test_the_object_lies_where_the_client_has_it(tmp_path):
    scan = product(n_positions=60)
    scan.export(tmp_path / "train_data.npz")
    _, _, checkpoint = train(tmp_path, tmp_path / "out", choices(epochs=10, batch_size=15, learning_rate=3e-3))
    assert_learned(reconstruct(checkpoint, scan), scan)


def test_a_network_of_labels_is_trained_and_reconstructs_as_any_other(tmp_path):
    """Learned from patches of the known object, and placed as exactly: no half pixel is lost between the two."""
    scan = product(n_positions=60)
    scan.export(tmp_path / "train_data.npz")
    manager = choices(epochs=10, batch_size=15, learning_rate=3e-3)
    manager.update(model_config={"mode": "Supervised"})
    _, losses, checkpoint = train(tmp_path, tmp_path / "out", manager)
    assert losses["train"][-1][1] < losses["train"][0][1]
    assert load(checkpoint)[1].model_config.mode == "Supervised"
    assert_learned(reconstruct(checkpoint, scan), scan)


def test_a_network_of_labels_needs_a_known_object(tmp_path):
    scan = product()
    scan.export(tmp_path / "train_data.npz")
    with np.load(tmp_path / "train_data.npz") as file:
        unlabelled = {key: file[key] for key in file.files if key != "objectGuess"}
    np.savez(tmp_path / "train_data.npz", **unlabelled)
    manager = choices()
    manager.update(model_config={"mode": "Supervised"})
    with pytest.raises(DataError, match="objectGuess"):
        train(tmp_path, tmp_path / "out", manager)


# --- what is refused --------------------------------------------------------------------------------------------------


class Bomb:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "opened"))


def pickled_zip(path, trap):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(trap)))
        archive.writestr("archive/version", "3")


def plain_pickle(path, trap):
    path.write_bytes(pickle.dumps({"state_dict": Bomb(trap)}))


def torch_file(path, trap):
    torch.save({"state_dict": {"model.weight": torch.zeros(3)}, "hyper_parameters": Bomb(trap)}, path)


@pytest.mark.parametrize("write", [pickled_zip, plain_pickle, torch_file])
def test_pickles_are_refused_and_never_opened(tmp_path, write):
    path, trap = tmp_path / "theirs.ckpt", tmp_path / "trap"
    write(path, trap)
    for read in (PtychoModel._extract_configs_from_checkpoint, PtychoPINN_Lightning.load_from_checkpoint):
        with pytest.raises(BundleError) as refused:
            read(path)
        assert "pickled Python objects of other software" in str(refused.value)
        assert "\n" not in str(refused.value)
    assert not trap.exists()


def test_the_state_of_our_own_training_is_told_from_the_trained_network(done):
    last = done.checkpoint.with_name("last.ckpt")
    with pytest.raises(BundleError) as refused:
        load(last)
    assert "the state of a training" in str(refused.value)
    assert "ptycho train --resume" in str(refused.value)
    assert str(done.checkpoint) in str(refused.value)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(None, "does not exist"), (b"", "damaged or no bundle"), (b"PK\x03\x04 cut short", "damaged or no bundle")],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, content, fragment):
    path = tmp_path / "model.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=fragment) as refused:
        load(path)
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_training_has_no_checkpoint(tmp_path):
    assert find_best_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    ("names", "fragment"),
    [
        ([], "found no npz file"),
        (["test_data.npz"], "found test_data.npz in"),
        (["one.npz", "two.npz"], "found one.npz, two.npz in"),
        (["one.npz", "two.npz", "test_data.npz"], "found one.npz, two.npz, test_data.npz in"),
    ],
)
def test_a_folder_without_a_clear_scan_is_refused(tmp_path, names, fragment):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=fragment) as refused:
        PtychoDataLoader(tmp_path, choices(), output_dir=tmp_path / "out")
    assert "expected train_data.npz" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        PtychoDataLoader(tmp_path / "in", choices(), output_dir=tmp_path)


def test_the_only_other_scan_trains_and_a_part_of_it_is_held_out(tmp_path):
    scan = product()
    scan.export(tmp_path / "sample_7.npz")
    loader, losses, checkpoint = train(tmp_path, tmp_path / "out", choices(epochs=1))
    assert loader.validation is None
    assert len(losses["val"]) == 1
    assert reconstruct(checkpoint, scan).shape == scan.object_.shape


def test_results_go_where_the_choices_say_when_the_call_does_not(tmp_path):
    product().export(tmp_path / "train_data.npz")
    manager = choices(output_dir=str(tmp_path / "elsewhere"))
    assert PtychoDataLoader(tmp_path, manager).output_dir.parent == tmp_path / "elsewhere"


def test_results_that_cannot_be_written_are_refused(tmp_path):
    product().export(tmp_path / "train_data.npz")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"can't write .*file/run_"):
        PtychoDataLoader(tmp_path, choices(), output_dir=tmp_path / "file")


def test_an_unknown_format_is_refused():
    with pytest.raises(ConfigError, match="data_format is 'memmap'; expected 'lightning_only_module'"):
        DataloaderFormats("memmap")


def test_another_orchestration_is_refused(done):
    model = PtychoModel._new_model(PtychoPINN_Lightning, done.manager)
    with pytest.raises(ConfigError, match="orchestration is 'mlflow'"):
        Trainer._from_lightning(model, done.loader, "mlflow", done.manager)


def test_a_model_without_a_network_says_so():
    manager = choices()
    model = PtychoModel._new_model(PtychoPINN_Lightning, manager)
    scan = product()
    loader = PtychoDataLoader.from_np(scan.patterns, scan.probe[0], scan.positions, manager)
    for use in (
        lambda: InferenceEngine(manager, model).predict_and_stitch(loader),
        lambda: model.save("model.ckpt"),
        lambda: manager.validate_arch_compatibility(model),
    ):
        with pytest.raises(ConfigError, match="the model has no network yet"):
            use()


# --- models and choices by hand ---------------------------------------------------------------------------------------


def test_a_model_saved_by_hand_is_the_same(done, tmp_path):
    loaded = PtychoModel._load(done.checkpoint)
    loaded.save(tmp_path / "mine.ckpt")
    np.testing.assert_array_equal(
        reconstruct(tmp_path / "mine.ckpt", done.validation), reconstruct(done.checkpoint, done.validation)
    )


def test_choices_that_expect_another_network_are_refused(done):
    loaded, manager = load(done.checkpoint)
    manager.update(data_config={"C": 9, "grid_size": (3, 3)})
    with pytest.raises(ConfigError, match=f"groups of {done.manager.data_config.C} patterns and C is 9"):
        manager.validate_arch_compatibility(loaded)


def test_choices_are_updated_by_set_and_name():
    manager = ConfigManager()
    manager.update(training_config={"epochs": 3}, inference_config={"batch_size": 5})
    assert manager.to_tuple() == (
        DataConfig(),
        ModelConfig(),
        TrainingConfig(epochs=3),
        InferenceConfig(batch_size=5),
        DatagenConfig(),
    )
    with pytest.raises(ConfigError, match=r"found 'train_config'.*did you mean 'training_config'"):
        manager.update(train_config={"epochs": 3})
