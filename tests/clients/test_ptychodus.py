"""The real Ptychodus, unmodified and without a screen, trains and reconstructs with this package.

The patterns come from Ptychodus' own forward model, and the answer must lie where Ptychodus puts it: on the true
object, at no shift.
"""

import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.io import load_product, save_ptychopinn_training_data
from ptychodus.api.reconstruct import ReconstructInput
from ptychodus.plugins.cxi_file import CXIProductFileIO
from ptychodus.plugins.npz_product_file import NPZProductFileIO

from ptycho.raw_data import RawData
from tests.clients.ptychodus_batch import batch, session, write_settings
from tests.clients.ptychodus_scans import (
    COLUMNS,
    ROWS,
    STEP,
    N,
    Scan,
    best_shift,
    correlation,
    measured_scan,
    seen_where,
)

pytest.importorskip("lightning")

N_POSITIONS = ROWS * COLUMNS
LIKENESS = 0.9  # of the found object with the truth, after the mean of both is taken away
SUB_PIXEL = 0.25  # px
NEAR = 4 * STEP  # px, farther apart are no members of a group

TRAINED_FILE = {"ptychopinn": "wts.h5.zip", "ptychopinn-torch": "best-checkpoint.ckpt"}
MODEL_FILE = {"ptychopinn": "model.zip", "ptychopinn-torch": "model.ckpt"}


def library_of(key):
    return key.partition("_")[0]


def settings(key, *, epochs, batch_size=16, gridsize=1, n_samples=N_POSITIONS, more=None):
    """Settings as a user writes them; all that isn't named keeps the default of Ptychodus."""
    chosen = settings_of_library(library_of(key), epochs, batch_size, gridsize, n_samples)
    for section, keys in (more or {}).items():
        chosen[section] |= keys
    return {"Processing": {"Algorithm": key}} | chosen


def settings_of_library(library, epochs, batch_size, gridsize, n_samples):
    if library == "ptychopinn":
        return {
            "PtychoPINNModel": {"GridSize": gridsize},
            "PtychoPINNTraining": {"NumEpochs": epochs, "BatchSize": batch_size},
            "PtychoPINNInference": {"NumSamples": n_samples, "NumNearestNeighbors": 7},
        }
    return {
        "PtychoPINNTorchData": {"grid_size_x": gridsize, "grid_size_y": gridsize, "num_channels": gridsize**2},
        "PtychoPINNTorchTraining": {"epochs": epochs, "batch_size": batch_size, "num_dataloader_workers": 0},
    }


PATTERNS = {"epochs": 60, "batch_size": 32}
GROUPS = {
    "epochs": 80,
    "batch_size": 16,
    "gridsize": 2,
    "more": {"PtychoPINNTorchData": {"coordinate_subsampling_factor": 1}},
}
LABELS = {"epochs": 100, "batch_size": 32}
HARD = {"modes": 3, "dtype": "uint32", "bad_pixels": True}
SESSIONS = [
    pytest.param("ptychopinn_pinn", {"centred": False}, PATTERNS, id="ptychopinn_pinn"),
    pytest.param("ptychopinn-torch_unsupervised", {}, GROUPS, id="ptychopinn-torch_unsupervised, gridsize 2"),
    pytest.param(
        "ptychopinn_supervised",
        {"centred": False, "dtype": "uint32"},
        LABELS,
        id="ptychopinn_supervised",
        marks=pytest.mark.slow,
    ),
    pytest.param("ptychopinn-torch_supervised", HARD, LABELS, id="ptychopinn-torch_supervised", marks=pytest.mark.slow),
    pytest.param("ptychopinn_pinn", {}, {**GROUPS, "more": {}}, id="gridsize 2", marks=pytest.mark.slow),
    pytest.param(
        "ptychopinn_pinn", HARD, PATTERNS | {"epochs": 160}, id="3 modes and bad pixels", marks=pytest.mark.slow
    ),
]


@dataclass(frozen=True)
class Done:
    """A session that is over."""

    key: str
    epochs: int
    scan: Scan
    folder: Path
    cwd: Path


def finished_session(folder, cwd, key, chosen, effort):
    scan = measured_scan(**chosen)
    scan.write(folder, scan.truth)
    (folder / "product.h5").rename(folder / "truth.h5")
    scan.write(folder, scan.start)
    (folder / "product.h5").rename(folder / "start.h5")
    write_settings(folder / "settings.ini", settings(key, **effort))
    session(folder, key, cwd)
    return Done(key, effort["epochs"], scan, folder, cwd)


def the_object_is_found_where_ptychodus_puts_it(done):
    scan, folder = done.scan, done.folder
    found = load_product(folder / "first.h5").object_
    likeness = correlation(found, scan.truth)
    coarse, fine = best_shift(found, scan.truth, 3, 1), best_shift(found, scan.truth, 0.5, 0.05)
    said = f"likeness {likeness:.3f}, best whole shift {coarse} px, best shift {fine} px"
    assert coarse == (0, 0), said
    assert max(np.abs(fine)) < SUB_PIXEL, said
    assert likeness > LIKENESS, said


def the_object_has_the_grid_of_the_start(done):
    scan, folder = done.scan, done.folder
    found = load_product(folder / "first.h5").object_
    assert found.get_geometry() == scan.truth.object_.get_geometry()
    assert np.isfinite(found.get_array()).all()


def a_saved_and_moved_model_gives_the_same_object(done):
    folder = done.folder
    first, again = (load_product(folder / name).object_.get_array() for name in ("first.h5", "again.h5"))
    np.testing.assert_allclose(again, first, rtol=1e-4, atol=1e-4)


def every_format_of_ptychodus_reads_back(done):
    scan, folder = done.scan, done.folder
    written = load_product(folder / "again.h5")
    rows, columns = seen_where(scan.truth)
    assert len(written.probe_positions) == N_POSITIONS
    assert np.abs(written.object_.get_layer(0)[rows.astype(int), columns.astype(int)]).min() > 0
    for read in (
        NPZProductFileIO().read(folder / "again.npz"),
        CXIProductFileIO().read(folder / "again.cxi"),
    ):
        np.testing.assert_array_equal(read.object_.get_array(), written.object_.get_array())
        np.testing.assert_array_equal(read.probes.get_array(), written.probes.get_array())


def losses_arrive_where_the_client_has_a_place_for_them(done):
    folder = done.folder
    told = json.loads((folder / "training.json").read_text())
    assert len(told) == 1
    if library_of(done.key) == "ptychopinn":  # its child sends an empty answer, whatever the training returned
        assert told[0] == {"training_loss": [], "validation_loss": [], "progress": 0, "status": 0}
        return
    losses = [loss["value"] for loss in told[0]["training_loss"]]
    assert [loss["epoch"] for loss in told[0]["training_loss"]] == list(range(done.epochs))
    assert told[0]["progress"] == done.epochs
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert [loss["epoch"] for loss in told[0]["validation_loss"]] == list(range(done.epochs))


def nothing_is_written_to_the_folder_it_was_started_from(done):
    assert list(done.cwd.iterdir()) == []


def exported_patterns_are_the_counts(done):
    scan, folder = done.scan, done.folder
    exported = np.load(folder / "data" / "train_data.npz")
    measured, good = scan.diffraction.get_patterns(), ~scan.diffraction.get_bad_pixels()
    assert exported["diff3d"].dtype == measured.dtype
    np.testing.assert_array_equal(exported["diff3d"][:, good], measured[:, good])
    np.testing.assert_array_equal(exported["bad_pixels"], ~good)
    raw = RawData.from_file(folder / "data" / "train_data.npz")
    assert raw.diff3d.shape == measured.shape
    assert raw.probeGuess.shape[-2:] == (N, N)


FACTS = (
    the_object_is_found_where_ptychodus_puts_it,
    the_object_has_the_grid_of_the_start,
    a_saved_and_moved_model_gives_the_same_object,
    every_format_of_ptychodus_reads_back,
    losses_arrive_where_the_client_has_a_place_for_them,
    nothing_is_written_to_the_folder_it_was_started_from,
    exported_patterns_are_the_counts,
)


@pytest.mark.parametrize(("key", "chosen", "effort"), SESSIONS)
def test_a_whole_session(key, chosen, effort, tmp_path_factory):
    """One test, because a session is dear and workers share no fixture; a failure names the fact."""
    folder, cwd = tmp_path_factory.mktemp("session"), tmp_path_factory.mktemp("cwd")
    done = finished_session(folder, cwd, key, chosen, effort)
    for fact in FACTS:
        fact(done)


@dataclass(frozen=True)
class Trained:
    """A batch training that is over: what it was given, what it wrote and said, and where it was started."""

    key: str
    scan: Scan
    given: Path
    output: Path
    cwd: Path
    said: str

    def ready(self, folder):
        """Write what ``ptychodus -b reconstruct`` asks for: start, settings, and the model under the name it wants."""
        self.scan.write(folder, self.scan.start)
        shutil.copy(self.given / "settings.ini", folder)
        (model,) = self.output.rglob(TRAINED_FILE[library_of(self.key)])
        shutil.copy(model, folder / MODEL_FILE[library_of(self.key)])
        return folder


def prepare(folder, scan, key, **chosen):
    """Write what ``ptychodus -b train`` asks for."""
    scan.write(folder, scan.truth)
    write_settings(folder / "settings.ini", settings(key, **chosen))
    exported = ReconstructInput(scan.diffraction.get_patterns(), scan.diffraction.get_bad_pixels(), scan.truth)
    for name in ("train_data.npz", "test_data.npz"):
        save_ptychopinn_training_data(folder / name, exported)


def trained(folder, key, scan, **chosen):
    """A batch training of one epoch."""
    given, output, cwd = (folder / name for name in ("given", "output", "cwd"))
    given.mkdir()
    cwd.mkdir()
    prepare(given, scan, key, epochs=1, **chosen)
    done = batch("train", given, output, cwd)
    assert done.returncode == 0, done.stdout
    return Trained(key, scan, given, output, cwd, done.stdout)


def reconstructed(ready, cwd):
    """Reconstruct and return the object, and what was said."""
    done = batch("reconstruct", ready, ready / "output", cwd)
    assert done.returncode == 0, done.stdout
    (file,) = (ready / "output").glob("product.*.h5")  # Ptychodus puts the progress into the name
    return load_product(file).object_, done.stdout


def refused(ready, cwd):
    """Try to reconstruct and return what was said."""
    done = batch("reconstruct", ready, ready / "output", cwd)
    assert done.returncode == 1, done.stdout
    assert not list((ready / "output").glob("product*")), "a failed run left an answer"
    return done.stdout


def an_object_is_found(trained, ready):
    assert f"PtychoPINN {version('ptychopinn')}" in trained.said
    found, _ = reconstructed(ready, trained.cwd)
    assert np.isfinite(found.get_array()).all()
    assert found.get_geometry() == trained.scan.truth.object_.get_geometry()
    assert correlation(found, trained.scan.truth) > 0.1, "nothing of the object is in the answer"
    assert list(trained.cwd.iterdir()) == []


def one_sample_is_one_group_and_a_warning_and_an_archive_of_the_run_is_a_model(trained, ready):
    (ready / "model.zip").unlink()
    shutil.make_archive(str(ready / "model"), "zip", root_dir=trained.output)
    write_settings(ready / "settings.ini", settings(trained.key, epochs=1, gridsize=2, n_samples=1))
    found, said = reconstructed(ready, trained.cwd)
    warned = [line for line in said.splitlines() if "[WARNING]" in line and "NumSamples" in line]
    assert warned, said
    assert str(N_POSITIONS) in warned[0]
    layer = found.get_layer(0)
    assert np.isfinite(layer).all()
    assert 0 < np.count_nonzero(layer) < (N + NEAR) ** 2 < layer.size


def patterns_of_another_size_than_the_model_was_trained_on_are_refused(trained, ready):
    other = measured_scan(n=40)
    other.write(ready, other.start)
    said = refused(ready, trained.cwd)
    assert "40" in said.split("DataError")[-1], said


def another_gridsize_than_the_model_was_trained_with_is_refused(trained, ready):
    write_settings(ready / "settings.ini", settings(trained.key, epochs=1, gridsize=1))
    assert "gridsize 2" in refused(ready, trained.cwd).split("DataError")[-1]


# The gridsize that a library's session does not have, and all that makes a scan hard: Ptychodus and what it starts take
# seconds to wake up, so that each is trained once.
BATCHES = [
    pytest.param(
        "ptychopinn_pinn",
        {"gridsize": 2},
        {"centred": False},
        (
            an_object_is_found,
            one_sample_is_one_group_and_a_warning_and_an_archive_of_the_run_is_a_model,
            patterns_of_another_size_than_the_model_was_trained_on_are_refused,
            another_gridsize_than_the_model_was_trained_with_is_refused,
        ),
        id="ptychopinn_pinn, gridsize 2",
    ),
    pytest.param(
        "ptychopinn-torch_unsupervised",
        {"more": {"PtychoPINNTorchTraining": {"learning_rate_scheduler": "Cosine"}}},
        {},
        (an_object_is_found, patterns_of_another_size_than_the_model_was_trained_on_are_refused),
        id="ptychopinn-torch_unsupervised",
    ),
]


@pytest.mark.parametrize(("key", "choices", "scan", "facts"), BATCHES)
def test_batch_runs(key, choices, scan, facts, tmp_path):
    done = trained(tmp_path, key, measured_scan(**HARD, photons=1e6, **scan), **choices)
    for number, fact in enumerate(facts):
        folder = tmp_path / str(number)
        folder.mkdir()
        fact(done, done.ready(folder))


@pytest.mark.parametrize("key", ["ptychopinn_pinn", "ptychopinn-torch_unsupervised"])
def test_a_missing_training_file_ends_the_training_with_its_name(key, tmp_path):
    given, output, cwd = (tmp_path / name for name in ("given", "output", "cwd"))
    given.mkdir()
    cwd.mkdir()
    prepare(given, measured_scan(), key, epochs=1)
    (given / "train_data.npz").unlink()
    done = batch("train", given, output, cwd)
    assert done.returncode == 1, done.stdout
    assert "train_data.npz" in done.stdout.split("Traceback")[-1], done.stdout
    assert list(cwd.iterdir()) == []
