"""The older scripts: their flags and files, on a scan that is all right and on what is not."""

import importlib
import json
import os
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from matplotlib import image as pictures

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.cli.older_scripts import run_evaluate, run_inference, run_train
from ptycho.interop.loading import taken
from tests.conftest import ROOT

TRAIN = ["--nepochs", "1", "--lean_width", "8", "--torch-accelerator", "cpu", "--quiet"]
PICTURES = ["reconstructed_amplitude.png", "reconstructed_phase.png"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Stand in a folder where nothing may appear."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield here
    assert list(here.iterdir()) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory, scan_file):
    folder = tmp_path_factory.mktemp("older") / "run"
    files = ["--train_data_file", str(scan_file), "--test_data_file", str(scan_file), "--output_dir", str(folder)]
    assert run_train([*files, "--do_stitching", *TRAIN]) == 0
    return folder


def infer(model, scan, folder, *flags):
    paths = ["--model_path", str(model), "--test_data", str(scan), "--output_dir", str(folder)]
    return run_inference([*paths, "--torch-accelerator", "cpu", "--quiet", *map(str, flags)])


def one_line(capsys):
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    return said.err


def test_a_trained_run_has_its_bundle_and_pictures(run):
    assert (run / "wts.h5.zip").stat().st_size > 10_000
    for name in PICTURES:
        assert min(pictures.imread(run / name).shape[:2]) > 400


def test_a_choice_of_the_file_reaches_the_run(tmp_path, scan_file):
    (tmp_path / "choices.yaml").write_text(f"train_data_file: {scan_file}\nnepochs: 2\nlean_width: 8\nbatch_size: 8\n")
    flags = ["--config", str(tmp_path / "choices.yaml"), "--output_dir", str(tmp_path / "run")]
    assert run_train([*flags, "--nepochs", "1", "--torch-accelerator", "cpu", "--quiet"]) == 0
    assert len(json.loads((tmp_path / "run" / "training.json").read_text())["history"]["train_loss"]) == 1
    assert "batch_size: 8" in (tmp_path / "run" / "config.yaml").read_text()
    assert not (tmp_path / "run" / PICTURES[0]).exists()


def test_the_scan_is_not_thinned_to_the_number_of_groups(tmp_path, scan_file):
    flags = ["--train_data_file", str(scan_file), "--output_dir", str(tmp_path / "run"), "--n_groups", "3"]
    assert run_train([*flags, "--gridsize", "2", "--neighbor_count", "4", *TRAIN]) == 0


def test_stitching_without_a_scan_to_stitch_and_another_engine_are_said(tmp_path, scan_file, capsys):
    flags = ["--train_data_file", str(scan_file), "--output_dir", str(tmp_path / "run"), "--do_stitching"]
    assert run_train([*flags, "--backend", "tensorflow", *TRAIN]) == 0
    said = capsys.readouterr().err
    assert said.count("does the work") == 1
    assert said.count("--test_data_file is not given") == 1


def test_inference_writes_pictures_and_the_object(tmp_path, run, scan_file):
    assert infer(run, scan_file, tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*PICTURES, "reconstruction.npz"]
    assert len(Reconstruction.read(tmp_path / "out" / "reconstruction.npz").positions) == 40


@pytest.mark.filterwarnings("ignore:n_images")
@pytest.mark.parametrize(
    ("flags", "wanted", "seed"),
    [
        (["--n_images", 12, "--subsample_seed", 3], 12, 3),
        (["--n_subsample", 9, "--n_images", 12, "--subsample_seed", 3], 9, 3),
        (["--n_subsample", 9], 9, 42),
        (["--n_images", 1000], 40, 0),
    ],
)
def test_a_part_of_the_scan(tmp_path, run, scan_file, scan_arrays, flags, wanted, seed):
    assert infer(run, scan_file, tmp_path / "out", *flags) == 0
    found = Reconstruction.read(tmp_path / "out" / "reconstruction.npz").positions
    expected = np.stack([scan_arrays["ycoords"], scan_arrays["xcoords"]], axis=1)[taken(40, wanted, seed)]
    np.testing.assert_array_equal(found, expected)


def test_more_that_can_be_asked_for(tmp_path, run, scan_file, scan_arrays):
    flags = ["--comparison_plot", "--debug_dump", tmp_path / "dump", "--phase_vmin", -0.1, "--phase_vmax", 0.1]
    assert infer(run, scan_file, tmp_path / "out", "--torch-inference-batch-size", 7, *flags) == 0
    assert infer(run, scan_file, tmp_path / "plain") == 0
    assert min(pictures.imread(tmp_path / "out" / "comparison_plot.png").shape[:2]) > 400
    one, other = (pictures.imread(tmp_path / name / PICTURES[1]) for name in ("out", "plain"))
    assert one.shape != other.shape or not np.array_equal(one, other), "the colours must follow the limits"
    with np.load(tmp_path / "dump" / "debug_dump.npz", allow_pickle=False) as dump:
        np.testing.assert_allclose(dump["counts"], scan_arrays["diff3d"])
        assert dump["object"].shape == dump["coverage"].shape


def test_another_engine_is_said_once(tmp_path, run, scan_file, capsys):
    assert infer(run, scan_file, tmp_path / "out", "--backend", "tensorflow") == 0
    assert capsys.readouterr().err.count("does the work") == 1


def test_a_dump_without_a_folder_goes_to_the_output(tmp_path, run, scan_file):
    assert infer(run, scan_file, tmp_path / "out", "--debug_dump") == 0
    assert (tmp_path / "out" / "debug_dump.npz").is_file()


def test_nothing_to_compare_with_is_said(tmp_path, run, scan_arrays, capsys):
    np.savez(tmp_path / "scan.npz", **{key: array for key, array in scan_arrays.items() if key != "objectGuess"})
    assert infer(run, tmp_path / "scan.npz", tmp_path / "out", "--comparison_plot") == 0
    assert "holds no objectGuess" in capsys.readouterr().err
    assert not (tmp_path / "out" / "comparison_plot.png").exists()


def test_evaluation_scores_what_inference_wrote(tmp_path, run, scan_file, capsys):
    assert infer(run, scan_file, tmp_path / "out") == 0
    assert run_evaluate([str(tmp_path / "out"), str(scan_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complex_nrmse"] > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--train_data_file"),
        (["--train_data_file", "none.npz"], "not found"),
        (["--train_data_file", "none.npz", "--gridsize", "0"], "gridsize is 0"),
        (["--train_data_file", "none.npz", "--nepochs", "x"], "expected a whole number"),
        (["--train_data_file", "none.npz", "--nepoch", "3"], "did you mean '--nepochs'"),
        (["--config", "none.yaml"], "can't read none.yaml"),
    ],
)
def test_bad_input_of_training_is_one_line(tmp_path, capsys, flags, words):
    assert run_train([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    said = one_line(capsys)
    assert said.startswith("ptycho_train: error: ")
    assert words in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--test_data", "scan.npz"], "--model_path"),
        (["--model_path", "none", "--test_data", "scan.npz"], "model_path is none"),
        (["--model_path", "none", "--test_data", "scan.npz", "--n_subsample", "0"], "n_subsample is 0"),
        (["--model_path", "none", "--test_data", "scan.npz", "--phase_vmin", "red"], "expected a number"),
    ],
)
def test_bad_input_of_inference_is_one_line(tmp_path, capsys, flags, words):
    assert run_inference([*flags, "--output_dir", str(tmp_path / "out")]) == 2
    said = one_line(capsys)
    assert said.startswith("ptycho_inference: error: ")
    assert words in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--phase_vmin", 1, "--phase_vmax", -1], "phase colours run from 1 to -1"),
        (["--phase_vmin=-inf"], "phase colours run from -inf to"),
        (["--phase_vmin", "nan", "--phase_vmax", 1], "phase colours run from nan to 1"),
        (["--phase_vmin", 99], "phase colours run from 99 to"),
        (["--debug_dump", "{file}"], "is not a folder"),
        (["--debug_dump", "{file}/deeper"], "is not a folder"),
        (["--debug_dump", "/proc/nowhere"], "can't make the folder /proc/nowhere"),
        (["--n_images", 0], "n_images is 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:n_images")
def test_what_can_not_be_drawn_or_written_leaves_nothing(tmp_path, run, scan_file, capsys, flags, words):
    (tmp_path / "file").write_text("here first")
    flags = [str(flag).format(file=tmp_path / "file") for flag in flags]
    assert infer(run, scan_file, tmp_path / "out", *flags) == 2
    said = one_line(capsys)
    assert said.startswith("ptycho_inference: error: ")
    assert words in said
    assert not (tmp_path / "out").exists()


def test_limits_are_looked_at_before_the_network(tmp_path, run, capsys):
    assert infer(run, tmp_path / "no scan.npz", tmp_path / "out", "--phase_vmin", 2, "--phase_vmax", 1) == 2
    assert "phase colours run from 2 to 1" in one_line(capsys)


@pytest.mark.parametrize("place", ["flag", "file", "file of the model", "flag over file"])
def test_a_size_that_the_scan_does_not_have(tmp_path, scan_file, capsys, place):
    texts = {"file": "N: 64\n", "file of the model": "model: {N: 64}\n", "flag over file": "N: 32\n"}
    (tmp_path / "choices.yaml").write_text(texts.get(place, ""))
    flags = ["--config", str(tmp_path / "choices.yaml"), *(["--N", "64"] if place.startswith("flag") else [])]
    argv = ["--train_data_file", str(scan_file), "--output_dir", str(tmp_path / "run"), *flags, *TRAIN]
    assert run_train(argv) == 2
    assert "patterns are 32 x 32 px but model.N is 64; set model.N to 32" in one_line(capsys)
    assert not (tmp_path / "run").exists()


def test_evaluation_speaks_of_itself(capsys):
    for flags in ([], ["--help"]):
        run_evaluate(flags)
        said = capsys.readouterr()
        assert "ptycho compare" not in said.out + said.err
        assert "ptycho_evaluate" in said.out + said.err


def test_the_scripts_run_as_programs(tmp_path):
    code = "import sys; from ptycho.cli.older_scripts import run_train; sys.exit(run_train())"
    asked = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, env=dict(os.environ))
    assert asked.returncode == 0
    assert "--torch-checkpoint-save-top-k" in asked.stdout


def test_every_program_of_the_distribution_is_there():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {"ptycho", "ptycho_train", "ptycho_inference", "ptycho_evaluate"} == set(scripts)
    for target in scripts.values():
        module, name = target.split(":")
        assert callable(getattr(importlib.import_module(module), name))
