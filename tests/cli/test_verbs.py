"""Every verb on a scan that is all right."""

import csv
import html
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.cli import demo, reconstruct
from ptycho.cli.main import VERBS, main
from ptycho.simulation.simulate import Simulation, simulate
from tests.cli.conftest import TRAIN


def read(path):
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def same(one, other):
    return one.keys() == other.keys() and all(one[key].tobytes() == other[key].tobytes() for key in one)


# --- simulate ---------------------------------------------------------------------------------------------------------

SMALL = ["--quiet", "--N", "32", "--positions", "6"]


def test_a_seed_repeats_a_simulation_and_another_does_not(tmp_path, capsys):
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert main(["simulate", str(tmp_path / name / "scan.npz"), *SMALL, "--seed", seed]) == 0
    a, b, c = (read(tmp_path / name / "scan.npz") for name in "abc")
    assert same(a, b)
    assert all(not np.array_equal(a[key], c[key]) for key in ("diff3d", "objectGuess", "xcoords", "ycoords"))
    assert capsys.readouterr() == ("", "")


def test_a_simulation_is_what_was_asked_for(tmp_path):
    path = tmp_path / "scan.npz"
    flags = ["--photons", "2e4", "--modes", "2", "--background", "3", "--dead_pixels", "5", "--object", "siemens"]
    assert main(["simulate", str(path), "--overwrite", *SMALL, *flags]) == 0
    found = read(path)
    assert found["diff3d"].shape == (6, 32, 32)
    assert found["diff3d"].dtype == np.uint16
    assert (np.abs(found["probeGuess"]) ** 2).sum() == pytest.approx(2e4, rel=1e-5)
    assert found["probeGuess"].shape == (2, 32, 32)
    assert found["bad_pixels"].sum() == 5
    assert not found["diff3d"][:, found["bad_pixels"]].any()
    # Far from the beam there is the background alone.
    assert found["diff3d"][:, :3, :3].mean() == pytest.approx(3, abs=1.5)


def test_a_simulation_without_an_ending_gets_one(tmp_path):
    assert main(["simulate", str(tmp_path / "q"), *SMALL]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["q.npz"]


def test_only_overwrite_replaces_a_simulation(tmp_path):
    path = tmp_path / "scan.npz"
    argv = ["simulate", str(path), *SMALL]
    assert main(argv) == 0
    first = path.read_bytes()
    assert main([*argv, "--seed", "1"]) == 2
    assert path.read_bytes() == first
    assert main([*argv, "--seed", "1", "--overwrite"]) == 0
    assert path.read_bytes() != first
    assert [p.name for p in tmp_path.iterdir()] == ["scan.npz"]


# --- inspect ----------------------------------------------------------------------------------------------------------


def test_inspect_describes_a_scan(capsys, scan_file, scan_arrays):
    assert main(["inspect", str(scan_file)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for key, array in scan_arrays.items():
        assert any(line.split()[0] == key and str(array.shape) in line for line in said.out.splitlines() if line)
    for words in ("40 of 32 x 32 px, uint32", "nothing to complain about", "patterns/s"):
        assert words in said.out


def test_a_program_can_read_the_description(capsys, scan_file, scan_arrays):
    assert main(["inspect", str(scan_file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["usable"] is True
    assert found["findings"] == []
    assert {key: (tuple(v["shape"]), v["dtype"]) for key, v in found["keys"].items()} == {
        key: (array.shape, str(array.dtype)) for key, array in scan_arrays.items()
    }
    counts = scan_arrays["diff3d"].sum(axis=(1, 2), dtype=float)
    assert found["scan"]["n_positions"] == 40
    assert found["scan"]["counts_median"] == pytest.approx(np.median(counts))
    assert found["scan"]["extent"] == pytest.approx([np.ptp(scan_arrays[key]) for key in ("ycoords", "xcoords")])
    assert found["training"]["minutes"] > 0


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_scan_that_is_refused_says_why(capsys, tmp_path, scan_arrays, flags):
    metres = {key: 1e-8 * scan_arrays[key] for key in ("xcoords", "ycoords")}
    np.savez(tmp_path / "metres.npz", **scan_arrays | metres)
    assert main(["inspect", str(tmp_path / "metres.npz"), *flags]) == 2
    said = capsys.readouterr().out
    if flags:
        found = json.loads(said)
        assert found["usable"] is False
        assert found["scan"] is found["training"] is None
        assert [finding["level"] for finding in found["findings"]] == ["refuse"]
        assert found["findings"][0]["do"] == "divide them by the object's pixel size"
    else:
        assert "refused: found positions within" in said
        assert "patterns/s" not in said


# --- train ------------------------------------------------------------------------------------------------------------


def train(scan, folder, *flags, expect=0):
    assert main(["train", str(scan), "--output_dir", str(folder), *TRAIN, *map(str, flags)]) == expect
    return json.loads((folder / "training.json").read_text()) if expect == 0 else None


def weights(folder):
    with zipfile.ZipFile(folder / "wts.h5.zip") as archive:
        return archive.read("weights.safetensors")


def test_a_run_has_all_that_was_promised(trained):
    assert sorted(path.name for path in trained.iterdir()) == [
        "checkpoints", "config.yaml", "logs", "training.json", "wts.h5.zip"
    ]  # fmt: skip
    assert (trained / "checkpoints" / "last.ckpt").is_file()
    assert len(list((trained / "checkpoints").iterdir())) == 2
    report = json.loads((trained / "training.json").read_text())
    assert report.keys() == {"history", "seconds", "patterns_per_second", "command", "finished", "machine"}
    assert shlex.split(report["command"])[:2] == ["ptycho", "train"]
    assert shlex.split(report["command"])[-len(TRAIN) :] == TRAIN
    assert {name: len(curve) for name, curve in report["history"].items()} == {"train_loss": 1, "val_loss": 1}
    assert np.isfinite([*report["history"]["train_loss"], report["seconds"], report["patterns_per_second"]]).all()
    with (trained / "logs" / "metrics.csv").open() as file:
        logged = {name: float(value) for row in csv.DictReader(file) for name, value in row.items() if value}
    assert logged["train_loss"] == pytest.approx(report["history"]["train_loss"][0], rel=1e-6)


def test_the_configuration_of_a_run_repeats_it(trained, scan_file, tmp_path, capsys):
    out = tmp_path / "again"
    argv = ["train", str(scan_file), "--config", str(trained / "config.yaml"), "--output_dir", str(out), "--quiet"]
    assert main(argv) == 0
    assert capsys.readouterr() == ("", "")
    assert weights(out) == weights(trained)
    one, other = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (trained, out))
    assert one | {"output_dir": str(out)} == other
    assert other["model"]["N"] == 32


def test_flags_win_over_the_file(trained, scan_file, tmp_path):
    file = ["--config", trained / "config.yaml"]
    report = train(scan_file, tmp_path / "run", *file, "--nepochs", "2", "--subsample_seed", "7")
    found = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert found["nepochs"] == len(report["history"]["train_loss"]) == 2
    assert found["subsample_seed"] == 7
    assert found["model"]["lean_width"] == 8
    assert weights(tmp_path / "run") != weights(trained)


def test_another_scan_judges(scan_file, tmp_path):
    other = tmp_path / "other.npz"
    assert main(["simulate", str(other), *SMALL, "--seed", "9"]) == 0
    report = train(scan_file, tmp_path / "run", "--validate", other)
    alone = train(scan_file, tmp_path / "alone")
    assert report["history"]["val_loss"] != alone["history"]["val_loss"]


def test_labels_are_learned_from_when_asked(scan_file, tmp_path):
    report = train(scan_file, tmp_path / "run", "--model.model_type", "supervised")
    assert 0 < report["history"]["val_loss"][0] < 0.2
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]["model_type"] == "supervised"


def test_only_overwrite_replaces_a_network(trained, scan_file, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = weights(run)
    train(scan_file, run, "--subsample_seed", "1", expect=2)
    assert weights(run) == before
    train(scan_file, run, "--subsample_seed", "1", "--overwrite")
    assert weights(run) != before


@pytest.mark.parametrize("gridsize", [1, 2])
def test_a_resumed_run_ends_as_an_uninterrupted_one(scan_file, tmp_path, monkeypatch, capsys, gridsize):
    from ptycho_torch.training.callbacks import Curves

    flags = ["--nepochs", "4", "--model.gridsize", gridsize, "--n_groups", "12"]
    whole = train(scan_file, tmp_path / "whole", *flags)
    start = Curves.on_train_epoch_start

    def unplugged(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt
        start(self, trainer, pl_module)

    part = tmp_path / "part"
    with monkeypatch.context() as patch:
        patch.setattr(Curves, "on_train_epoch_start", unplugged)
        train(scan_file, part, *flags, expect=130)
    command = f"ptycho train {scan_file} --output_dir {part} --resume"
    assert capsys.readouterr() == ("", f"ptycho train: interrupted; go on with: {command}\n")
    assert not (part / "wts.h5.zip").exists()
    resumed = train(scan_file, part, *flags, "--resume")
    assert resumed["history"] == whole["history"]
    assert weights(part) == weights(tmp_path / "whole")


def test_training_says_what_it_does_unless_quiet(scan_file, tmp_path, capsys):
    argv = ["train", str(scan_file), "--output_dir", str(tmp_path / "run"), *TRAIN[1:]]
    assert main(argv) == 0
    said = capsys.readouterr()
    assert "40 patterns of 32 x 32 px: simulated" in said.err
    assert "trained in" in said.err
    assert "Traceback" not in said.out + said.err


# --- reconstruct ------------------------------------------------------------------------------------------------------


def test_a_reconstruction_is_stored_as_documented(reconstructed, scan_arrays):
    found = read(reconstructed / "reconstruction.npz")
    curves = {key for key in found if key.startswith("history_")}
    assert curves == {"history_deviance", "history_held_out_deviance", "history_r_factor"}
    shape = found["object"].shape
    kinds = {
        "object": (np.complex64, shape),
        "coverage": (np.float32, shape),
        "origin": (np.float64, (2,)),
        "probe": (np.complex64, (1, 32, 32)),
        "positions": (np.float64, (40, 2)),
    }
    assert found.keys() - curves == kinds.keys()
    assert {key: (found[key].dtype, found[key].shape) for key in kinds} == kinds
    np.testing.assert_array_equal(found["positions"], np.stack([scan_arrays["ycoords"], scan_arrays["xcoords"]], 1))
    # (y, x): the canvas begins at the corner of the outermost patches, and is as large as the scan.
    lowest, highest = found["positions"].min(0), found["positions"].max(0)
    assert (np.abs(found["origin"] - (lowest - 16)) <= 1).all()
    assert (np.abs(found["origin"] + shape - (highest + 16)) <= 2).all()
    # The light: all photons of the probe, once for every frame.
    light = 40 * (np.abs(found["probe"].astype(complex)) ** 2).sum()
    assert found["coverage"].sum(dtype=float) == pytest.approx(light, rel=1e-3)
    assert len(found["history_deviance"]) == 5
    assert found["history_deviance"][-1] < found["history_deviance"][0]


def test_the_pictures_are_pictures(reconstructed):
    plt = pytest.importorskip("matplotlib.pyplot")
    for name in ("amplitude.png", "phase.png"):
        picture = plt.imread(reconstructed / name)
        assert picture.ndim == 3
        assert picture[..., :3].std() > 0.05


def test_metres_give_a_product_that_ptychodus_opens(tmp_path, trained, scan_file, reconstructed, capsys):
    """With energy, distance and pixel the same object comes as a product; without them none does, and that is said."""
    lengths = ["--energy", "8000", "--distance", "2", "--detector_pixel", "1e-4"]
    known = tmp_path / "known.npz"
    assert main(["convert", str(scan_file), str(known), *lengths, "--quiet"]) == 0
    argv = ["reconstruct", str(trained), str(known), "--output_dir", str(tmp_path / "out"), "--refine", "4"]
    capsys.readouterr()
    assert main([*argv, "--accelerator", "cpu"]) == 0
    fit, written = capsys.readouterr().err.splitlines()[-2:]
    assert re.fullmatch(r"deviance \d\S* a pixel, R-factor 0\.\d+", fit)
    assert "report.html" in written
    assert not (reconstructed / "product.h5").exists()
    found = read(tmp_path / "out" / "reconstruction.npz")
    pixel = 12_398.42e-10 / 8000 * 2 / (32 * 1e-4)
    with h5py.File(tmp_path / "out" / "product.h5") as product:
        image = product["object"]
        np.testing.assert_array_equal(image[0], found["object"])
        assert image.attrs["pixel_width_m"] == image.attrs["pixel_height_m"] == pytest.approx(pixel, rel=1e-6)
        x, y = product["probe_position_x_m"][()], product["probe_position_y_m"][()]
        metres = np.stack([y - image.attrs["center_y_m"], x - image.attrs["center_x_m"]], axis=1)
        pixels = metres / pixel + (np.array(found["object"].shape) - 1) / 2
        # The middle of a patch lies half a pixel before its index N // 2, which our positions name.
        np.testing.assert_allclose(pixels, found["positions"] - found["origin"] - 0.5, atol=1e-4)
        np.testing.assert_allclose(product["probe"][0] * 32, found["probe"], rtol=1e-5)
        np.testing.assert_allclose(product["loss_values"], found["history_deviance"])
    said = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert said["geometry"]["energy"] == 8000
    assert said["geometry"]["object_pixel"] == pytest.approx([pixel, pixel], rel=1e-6)


def test_the_summary_says_how_it_went(reconstructed, scan_arrays):
    found = json.loads((reconstructed / "summary.json").read_text())
    stored = read(reconstructed / "reconstruction.npz")
    assert found.keys() >= {"deviance", "r_factor", "iterations", "seconds", "patterns_per_second", "versions"}
    assert found["iterations"] == 4
    assert found["origin"].startswith("simulated counts: ")
    assert found["n_positions"] == len(scan_arrays["xcoords"])
    assert found["r_factor"] == pytest.approx(stored["history_r_factor"][-1], rel=0.05)
    assert found["patterns_per_second"] == pytest.approx(40 / sum(found["seconds"].values()))
    check = found["self_check"]
    assert 0 <= check["frc_crossings"]["half_bit"] <= 1
    assert check["mean_deviance"] == pytest.approx(found["deviance"], rel=1e-4)
    # With a prior the last estimate counts.
    assert found["held_out_deviance"] == stored["history_held_out_deviance"][-1]
    z = [frame["z"] for frame in check["worst_frames"]]
    assert z == sorted(z, reverse=True)
    arrays = read(reconstructed / "self_check.npz")
    assert arrays["z"].shape == (40,)
    assert z[0] == arrays["z"].max() == arrays["z"][check["worst_frames"][0]["frame"]]
    maps = [arrays[name] for name in ("amplitude_deviation", "phase_deviation", "shot_noise")]
    assert {each.shape for each in maps} == {stored["object"].shape}
    known = maps[1][np.isfinite(maps[1])]
    assert check["typical_phase_deviation"] == pytest.approx(np.sqrt(np.mean(known**2)))
    assert 0 < check["limit_amplitude_db"] < 100
    assert 0 <= check["share_of_frames_with_z_above_3"] <= 1
    assert check["frc_limit_crossings"].keys() == check["frc_crossings"].keys()
    assert found["versions"].keys() == {"ptychopinn", "python", "torch", "numpy"}


def test_what_was_refined_is_in_every_file(tmp_path, trained, scan_file):
    lengths = ["--energy", "8000", "--distance", "2", "--detector_pixel", "1e-4"]
    known, out = tmp_path / "known.npz", tmp_path / "out"
    assert main(["convert", str(scan_file), str(known), *lengths, "--quiet"]) == 0
    argv = ["reconstruct", str(trained), str(known), "--output_dir", str(out), "--quiet", "--accelerator", "cpu"]
    flags = ["--refine_positions", "2:", "--refine_flux", "--refine_background", "--probe_variations", "1"]
    assert main([*argv, "--refine", "6", "--refine_probe", *flags]) == 0
    stored, told = read(out / "reconstruction.npz"), json.loads((out / "summary.json").read_text())["refined"]
    moved = stored["corrected_positions"] - stored["positions"]
    assert np.abs(moved.mean(axis=0)).max() < 1e-9
    assert 0 < told["position_correction"]["rms"] == pytest.approx(np.sqrt((moved**2).sum(axis=1).mean()))
    assert stored["flux"].mean() == pytest.approx(1, abs=1e-5)
    assert told["background"] == stored["background"] >= 0
    assert stored["variations"].shape == (1, 32, 32)
    assert len(told["probe_variation"]) == 1
    assert told["spans"]["positions"] == "2:"
    assert "px rms and at most" in (out / "report.html").read_text()
    with h5py.File(out / "product.h5") as product:
        y, x = (product[f"probe_position_{axis}_m"][()] for axis in "yx")
        scan_y, scan_x = (product[f"scan_position_{axis}_m"][()] for axis in "yx")
    pixel = 12_398.42e-10 / 8000 * 2 / (32 * 1e-4)
    np.testing.assert_allclose(np.stack([y - scan_y, x - scan_x], axis=1) / pixel, moved, atol=1e-4)


def test_a_reconstruction_repeats_itself(trained, scan_file, reconstructed, tmp_path, capsys):
    argv = ["reconstruct", str(trained / "wts.h5.zip"), str(scan_file), "--output_dir", str(tmp_path), "--quiet"]
    assert main([*argv, "--refine", "4", "--accelerator", "cpu"]) == 0
    assert capsys.readouterr() == ("", "")
    again, first = (read(folder / "reconstruction.npz") for folder in (tmp_path, reconstructed))
    np.testing.assert_allclose(again["object"], first["object"], atol=1e-5)
    assert main([*argv, "--overwrite", "--accelerator", "cpu", "--batch_size", "3"]) == 0
    alone = read(tmp_path / "reconstruction.npz")
    assert not {key for key in alone if key.startswith("history_")}
    assert np.abs(alone["object"] - first["object"]).max() > 0.01


def test_the_report_shows_how_to_make_it_again(reconstructed, trained, scan_file):
    page = (reconstructed / "report.html").read_text()
    facts = json.loads((reconstructed / "summary.json").read_text())
    for word in ("train", "reconstruct"):
        assert facts["commands"][word].startswith(f"ptycho {word} ")
        assert html.escape(facts["commands"][word]) in page
    assert facts["settings"]["model"]["lean_width"] == 8
    assert facts["data"] == str(scan_file)
    assert "model.lean_width" in page


def test_the_training_of_the_newest_run_below_a_folder_is_known(tmp_path, trained, scan_file):
    argv = ["reconstruct", str(trained.parent), str(scan_file), "--output_dir", str(tmp_path), "--refine", "0"]
    assert main([*argv, "--quiet", "--accelerator", "cpu"]) == 0
    facts = json.loads((tmp_path / "summary.json").read_text())
    assert facts["commands"]["train"].startswith("ptycho train ")
    assert "Loss of the training" in (tmp_path / "report.html").read_text()


def test_every_fact_of_a_summary_is_in_the_reference(reconstructed):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    facts = json.loads((reconstructed / "summary.json").read_text())
    assert set(facts) - set(re.findall(r"`(\w+)`", page.split("| key of `summary.json`")[1])) == set()


# --- compare ----------------------------------------------------------------------------------------------------------


def compared(capsys, *argv):
    assert main(["compare", *map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_reconstruction_agrees_with_itself(capsys, reconstructed):
    found = compared(capsys, reconstructed, reconstructed / "reconstruction.npz")
    assert found["complex_nrmse"] < 1e-6
    assert found["amplitude_ssim"] == pytest.approx(1)
    assert found["removed"]["shift"] == pytest.approx([0, 0], abs=1e-6)


def test_the_truth_is_nearer_to_the_refined_object(capsys, reconstructed, scan_file, trained, tmp_path):
    argv = ["reconstruct", str(trained), str(scan_file), "--output_dir", str(tmp_path), "--accelerator", "cpu"]
    assert main([*argv, "--quiet"]) == 0
    refined, alone = (compared(capsys, folder, scan_file) for folder in (reconstructed, tmp_path))
    assert refined["complex_nrmse"] < 0.5 * alone["complex_nrmse"]
    assert refined["amplitude_psnr"] > alone["amplitude_psnr"] + 6
    lengths = {len(curve) for curve in refined["frc"].values() if isinstance(curve, list)}
    assert len(lengths) == 1


def test_the_table_shows_what_the_program_reads(capsys, reconstructed, scan_file):
    found = compared(capsys, reconstructed, scan_file)
    assert main(["compare", str(reconstructed), str(scan_file)]) == 0
    rows = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()[2:])
    assert float(rows["complex NRMSE"]) == pytest.approx(found["complex_nrmse"], rel=1e-3)
    assert float(rows["amplitude PSNR, peak 1 (dB)"]) == pytest.approx(found["amplitude_psnr"], rel=1e-3)


def test_a_page_of_two_results_is_written_where_asked(capsys, reconstructed, scan_file, tmp_path, refused):
    page = tmp_path / "page.html"
    argv = ["compare", str(reconstructed), str(scan_file), "--html", str(page)]
    assert main(argv) == 0
    assert capsys.readouterr().err == f"wrote {page}\n"
    assert "Amplitude of B" in page.read_text()
    refused(argv, "page.html already", "--overwrite")
    assert main([*argv, "--overwrite"]) == 0


def test_results_that_have_little_in_common_are_doubted(capsys, tmp_path):
    truth = simulate(Simulation(N=32, n_positions=200), np.random.default_rng(0)).object_
    ones, nowhere = np.ones(truth.shape, np.float32), np.zeros((1, 2))
    probe = np.ones((1, 32, 32), np.complex64)
    shuffled = np.random.default_rng(0).permutation(truth.ravel()).reshape(truth.shape)
    corner = np.array([0.6 * truth.shape[0], 0.0])
    for name, object_, origin in (("a", truth, [0, 0]), ("other", shuffled, [0, 0]), ("moved", truth, corner)):
        Reconstruction(object_, ones, np.array(origin, float), probe, nowhere).write(tmp_path / f"{name}.npz")
    assert main(["compare", str(tmp_path / "a.npz"), str(tmp_path / "a.npz")]) == 0
    assert capsys.readouterr().err == ""
    assert main(["compare", str(tmp_path / "other.npz"), str(tmp_path / "a.npz")]) == 0
    assert "different samples or places" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "moved.npz"), str(tmp_path / "a.npz")]) == 0
    assert "of the smaller field only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "words"),
    [("scan", "found a scan"), ("bundle", "found a trained network"), ("run", "found a training run")],
)
def test_what_is_no_reconstruction_is_named(refused, reconstructed, scan_file, trained, kind, words):
    path = {"scan": scan_file, "bundle": trained / "wts.h5.zip", "run": trained}[kind]
    refused(["compare", path, reconstructed], words, "expected", "reconstruct")
    if kind != "scan":
        refused(["compare", reconstructed, path], words, "expected", "reconstruct")


# --- demo, doctor, help -----------------------------------------------------------------------------------------------


@pytest.fixture
def quick_demo(monkeypatch):
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "ITERATIONS", 3)
    monkeypatch.setattr(demo, "Simulation", lambda: Simulation(N=32, n_positions=40))


@pytest.mark.usefixtures("quick_demo")
def test_the_demo_does_all_and_shows_it(tmp_path, capsys, monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    # A scan that was simulated has no metres: nobody asks for a product, and nobody is told that there is none.
    monkeypatch.delattr(reconstruct, "write_reconstruction")
    solver = pytest.importorskip("ptycho_torch.inference.solve").Solver
    monkeypatch.setattr(solver, "_beyond_doubt", lambda *_: False)
    monkeypatch.setattr(solver, "_judged", lambda *_: 0.25)
    assert main(["demo", "--output_dir", str(tmp_path), "--quiet"]) == 0
    said = capsys.readouterr()
    # One epoch has taught it nothing, and a quarter of the object is what it says.
    (told,) = said.err.splitlines()
    assert told.startswith("warning: the network does not know scans like this one, or has not learnt enough")
    assert said.out.split("\n")[1].split() == ["network", "refined", "ML", "from", "truth"]
    assert "amplitude PSNR" in said.out
    assert "25% of the object is the network's own" in said.out
    assert str(tmp_path / "demo.png") in said.out
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["scores"].keys() == {"network", "refined", "ML from truth"}
    nrmse = {name: scores["complex_nrmse"] for name, scores in found["scores"].items()}
    assert nrmse["ML from truth"] < nrmse["refined"] < nrmse["network"]
    assert len(found["training"]["history"]["train_loss"]) == 1
    assert plt.imread(tmp_path / "demo.png")[..., :3].std() > 0.05
    for name in ("scan.npz", "wts.h5.zip", "reconstruction.npz", "amplitude.png", "phase.png"):
        assert (tmp_path / name).is_file()
    assert main(["demo", "--output_dir", str(tmp_path)]) == 2


def test_the_doctor_finds_this_machine_fit(capsys):
    pytest.importorskip("lightning")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["can_train"] is True


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys, verb):
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: ptycho {verb}")
    assert said.err == ""


def test_help_and_refusals_do_not_wait_for_torch():
    script = (
        "import sys; from ptycho.cli.main import main;"
        "argvs = [['--help'], ['train', '--help'], ['reconstruct', '--help'], ['compare', '--help'],"
        " ['train', 'no.npz', '--output_dir', 'no']];"
        "print([main(argv) for argv in argvs], file=sys.stderr);"
        "print(*{'torch', 'lightning', 'matplotlib', 'skimage'} & set(sys.modules), file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--nepochs" in shown.stdout
    assert shown.stderr.splitlines()[1:] == ["[0, 0, 0, 0, 2]", ""]
