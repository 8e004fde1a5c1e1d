"""Whatever a user gives that can't be used: one line that says what, what was expected and what to do, and no trace."""

import errno
import json
import os
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.cli.main import main
from tests.cli.conftest import TRAIN


@pytest.fixture
def spoilt(tmp_path, scan_arrays):
    """Write the scan with some keys changed, left out where None."""

    def write(**changes):
        path = tmp_path / "spoilt.npz"
        arrays = {key: value for key, value in {**scan_arrays, **changes}.items() if value is not None}
        np.savez(path, **arrays)
        return path

    return write


def with_value(key, value, dtype=None):
    def change(arrays):
        array = np.array(arrays[key], dtype=dtype)
        array.flat[3] = value
        return {key: array}

    return change


def first(n):
    """Keep the first n positions."""
    per_position = ("diff3d", "xcoords", "ycoords", "xcoords_start", "ycoords_start", "scan_index")
    return lambda arrays: {key: arrays[key][:n] for key in per_position}


UNUSABLE = {
    "a key is missing": (lambda a: {"xcoords": None}, ["missing xcoords", "expected diff3d", "add what is missing"]),
    "no patterns": (
        lambda a: {"diff3d": None},
        ["found positions and no patterns", "expected both", "--companions FILE"],
    ),
    "no key is known": (
        lambda a: dict.fromkeys(a) | {"x": a["xcoords"]},
        ["found keys x,", "expected those of a scan"],
    ),
    "axes": (lambda a: {"diff3d": a["diff3d"][:, 0]}, ["(40, 32)", "40 positions", "expected (n, N, N)"]),
    "a frame too few": (
        lambda a: {"diff3d": a["diff3d"][1:]},
        ["(39, 32, 32)", "40 positions", "leave out the frames"],
    ),
    "not square": (lambda a: {"diff3d": a["diff3d"][:, 1:]}, ["31 x 32 px", "expected square", "crop or pad"]),
    "an odd size": (
        lambda a: {"diff3d": a["diff3d"][:, 1:, 1:], "probeGuess": a["probeGuess"][..., 1:, 1:]},
        ["31 px", "expected an even number", "crop or pad"],
    ),
    "NaN": (with_value("diff3d", np.nan, float), ["NaN or infinity in patterns", "expected finite", "bad_pixels"]),
    "infinity": (with_value("diff3d", np.inf, float), ["NaN or infinity in patterns", "expected finite", "bad_pixels"]),
    "negative": (with_value("diff3d", -7, float), ["smallest -7", "expected counts or amplitudes", "set them to 0"]),
    "dark": (lambda a: {"diff3d": 0 * a["diff3d"]}, ["40 patterns that are all zero", "expected light", "check"]),
    "complex patterns": (lambda a: {"diff3d": a["diff3d"] + 0j}, ["complex128", "expected real numbers", "convert"]),
    "pickled": (lambda a: {"diff3d": a["diff3d"].astype(object)}, ["'diff3d' holds pickled", "store plain numbers"]),
    "one position": (first(1), ["found 1 position to train on", "expected at least 2", "give a longer scan"]),
    "probe of another size": (
        lambda a: {"probeGuess": a["probeGuess"][..., :16, :16]},
        ["a probe of 16 px", "patterns of 32 px", "expected one size", "resample"],
    ),
    "probe without light": (
        lambda a: {"probeGuess": 0 * a["probeGuess"]},
        ["a probe that is zero", "expected a guess", "give probeGuess"],
    ),
    "NaN in the probe": (
        with_value("probeGuess", np.nan),
        ["NaN or infinity in the probe", "expected finite", "correct"],
    ),
    "x and y": (lambda a: {"ycoords": a["ycoords"][1:]}, ["(40,)", "(39,)", "expected (n,) both", "one a frame"]),
    "NaN in the positions": (
        with_value("xcoords", np.nan),
        ["NaN or infinity in positions", "expected finite values; replace them, or leave out the frames"],
    ),
    "long patterns": (
        lambda a: {"diff3d": a["diff3d"].astype(np.longdouble)},
        ["float128", "64 bits or fewer", "convert"],
    ),
    "text for positions": (lambda a: {"xcoords": a["xcoords"].astype(str)}, ["<U", "expected real numbers", "convert"]),
    "metres": (
        lambda a: {"xcoords": a["xcoords"] * 1e-8, "ycoords": a["ycoords"] * 1e-8},
        ["positions within", "expected pixels", "metres", "divide them by the object's pixel size"],
    ),
    "a runaway position": (with_value("xcoords", 1e12), ["positions spread over", "expected an object", "in pixels"]),
    "zero frequency in the corner": (
        lambda a: {"diff3d": np.fft.ifftshift(a["diff3d"], axes=(1, 2))},
        ["zero frequency at index [0, 0]", "[16, 16]", "fftshift the patterns"],
    ),
    "no pixel is trusted": (
        lambda a: {"bad_pixels": np.ones((32, 32), bool)},
        ["trusts no pixel", "expected trusted pixels", "correct bad_pixels"],
    ),
    "a mask of another size": (lambda a: {"bad_pixels": np.ones((8, 8), bool)}, ["(8, 8)", "expected (32, 32) bool"]),
    "an unknown quantity": (lambda a: {"quantity": "flux"}, ["'flux'", "expected 'counts' or 'amplitude'", "correct"]),
    "a count scale of zero": (
        lambda a: {"quantity": "amplitude", "count_scale": 0.0},
        ["count_scale = 0", "above 0", "correct"],
    ),
    "an object in layers": (
        lambda a: {"objectGuess": a["objectGuess"][None]},
        ["an object of shape (1,", "expected (height, width)", "one layer"],
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_scan_that_can_not_be_used(refused, spoilt, scan_arrays, trained, tmp_path, kind):
    change, words = UNUSABLE[kind]
    path = spoilt(**change(scan_arrays))
    out = tmp_path / "out"
    refused(["train", path, "--output_dir", out], *words)
    # A single frame can be looked at and reconstructed; only training needs more.
    if kind != "one position":
        refused(["reconstruct", trained, path, "--output_dir", out], *words)


@pytest.mark.parametrize("kind", [kind for kind in UNUSABLE if kind != "one position"])
def test_inspect_refuses_what_training_refuses(capsys, spoilt, scan_arrays, kind):
    change, words = UNUSABLE[kind]
    assert main(["inspect", str(spoilt(**change(scan_arrays)))]) == 2
    said = capsys.readouterr()
    line = next(line for line in (said.err + said.out).splitlines() if line.startswith(("ptycho inspect", "refused")))
    for word in words:
        assert word in line


def hdf5(path, scan):
    with h5py.File(path, "w") as file:
        file["diff3d"] = np.ones(3)


FILES = {
    "cut short, as by an interrupted download": (
        lambda path, scan: path.write_bytes(scan[: len(scan) // 2]),
        ["damaged or incomplete", "copy or download it again"],
    ),
    "a flipped byte in the patterns": (
        lambda path, scan: path.write_bytes(scan[:5000] + bytes([scan[5000] ^ 1]) + scan[5001:]),
        ["CRC", "damaged", "copy or download it again"],
    ),
    "empty": (lambda path, scan: path.write_bytes(b""), ["an empty file", "expected an npz", "download it again"]),
    "text": (lambda path, scan: path.write_text("x, y\n1, 2\n"), ["not an npz", "expected an npz", "convert it"]),
    "a folder": (lambda path, scan: path.mkdir(), ["found a folder", "expected an npz", "name the file"]),
    "HDF5": (hdf5, ["found keys diff3d,", "expected those of a scan", "rename or add them"]),
    "one array": (lambda path, scan: np.save(path.open("wb"), np.ones(3)), ["a single npy array", "expected"]),
    "not there": (lambda path, scan: None, ["not found", "expected an npz", "check the path"]),
}


# A comparison takes folders, and does not look at the patterns of a scan.
NOT_COMPARED = ("a folder", "a flipped byte in the patterns", "HDF5")
READERS = [
    (kind, verb)
    for kind in FILES
    for verb in ("train", "reconstruct", "inspect", "compare")
    if verb != "compare" or kind not in NOT_COMPARED
]


@pytest.mark.parametrize(("kind", "verb"), READERS)
def test_a_file_that_is_no_scan(refused, tmp_path, scan_file, trained, reconstructed, kind, verb):
    make, words = FILES[kind]
    path = tmp_path / "given.npz"
    make(path, scan_file.read_bytes())
    out = ["--output_dir", tmp_path / "out"]
    argv = {
        "train": ["train", path, *out],
        "reconstruct": ["reconstruct", trained, path, *out],
        "inspect": ["inspect", path],
        "compare": ["compare", reconstructed, path],
    }
    refused(argv[verb], "given.npz", *words)


def test_a_folder_without_results(refused, tmp_path, reconstructed):
    words = ["found a folder without reconstruction.npz", "expected results of `ptycho reconstruct`", "name"]
    refused(["compare", tmp_path, reconstructed], *words)
    refused(["compare", reconstructed, tmp_path], *words)


GROUPS = {
    "fewer positions than a group": (
        3,
        ["--model.gridsize", "2"],
        ["found 3 positions", "expected at least 4 for gridsize 2", "lower gridsize"],
    ),
    "a group larger than the scan": (
        40,
        ["--model.gridsize", "7", "--neighbor_count", "48"],
        ["positions", "expected at least 49 for gridsize 7", "lower gridsize"],
    ),
    "too few kept": (
        40,
        ["--model.gridsize", "2", "--n_subsample", "3"],
        ["found 3 positions", "expected at least 4 for gridsize 2", "lower gridsize"],
    ),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_groups_that_the_scan_does_not_have(refused, spoilt, scan_arrays, tmp_path, kind):
    n, flags, words = GROUPS[kind]
    refused(["train", spoilt(**first(n)(scan_arrays)), "--output_dir", tmp_path / "out", *flags], *words)


CHOICES = {
    "an unknown flag": (["--nepoch", "3"], ["--nepoch 3", "did you mean '--nepochs'?", "--help"]),
    "a word that is none of the choices": (
        ["--scheduler", "cosine"],
        ["--scheduler is 'cosine'", "expected Default or", "did you mean 'WarmupCosine'?"],
    ),
    "a batch of nothing": (["--batch_size", "0"], ["batch_size is 0", "expected a whole number, 1 or more", "set"]),
    "a model without a number": (["--model.gridsize", "two"], ["gridsize is 'two'", "expected a whole number"]),
    "an accelerator that is not there": (
        ["--execution.accelerator", "mps"],
        ["'mps' is not available", "found cpu", "choose one of these or auto"],
    ),
    "a size that the scan does not have": (
        ["--model.N", "64"],
        ["32 x 32 px", "model.N is 64", "set model.N to 32"],
    ),
    "a size that cnn does not know": (
        ["--model.architecture", "cnn"],
        ["N is 32", "expects 64, 128 or 256", "choose the lean architecture"],
    ),
    "a loss of nothing": (["--nll_weight", "0"], ["nll_weight and mae_weight are both 0", "expected a loss", "set"]),
    "a logger that is not there": (["--execution.logger_backend", "wandb"], ["'wandb'", "expected csv or tensorboard"]),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_a_choice_that_can_not_be_used(refused, scan_file, tmp_path, kind):
    flags, words = CHOICES[kind]
    refused(["train", scan_file, "--output_dir", tmp_path / "out", *flags], *words)


YAMLS = {
    "wrong syntax": ("nepochs: [3\n", ["is not YAML", "line 2", "expected `name: value` lines", "correct it"]),
    "an unknown key": ("nepoch: 3\n", ["nepoch (did you mean 'nepochs'?)", "expected the name", "remove it"]),
    "an unknown key of the model": ("model: {gridsiz: 2}\n", ["model.gridsiz (did you mean 'gridsize'?)"]),
    "a wrong type": ("nepochs: many\n", ["nepochs", "'many'", "expected a whole number", "correct it"]),
    "no mapping": ("- 3\n", ["is a list", "expected `name: value` lines"]),
    "not text": (b"\xff\xfe\x00", ["is not text", "expected a YAML file"]),
    "not there": (None, ["can't read", "No such file", "expected a YAML file", "correct its path"]),
}


@pytest.mark.parametrize("kind", YAMLS)
def test_a_configuration_that_can_not_be_used(refused, scan_file, tmp_path, kind):
    text, words = YAMLS[kind]
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(["train", scan_file, "--config", path, "--output_dir", tmp_path / "out"], "mine.yaml", *words)


def rewritten(source, target, change):
    """Copy a bundle with its members changed."""
    with zipfile.ZipFile(source / "wts.h5.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w") as archive:
        for name, raw in change(members).items():
            archive.writestr(name, raw)


def newer(members):
    manifest = json.loads(members["manifest.json"])
    manifest |= {"version": 99, "packages": {"ptychopinn": "9.9"}}
    return {**members, "manifest.json": json.dumps(manifest)}


def flipped(name):
    def change(members):
        raw = bytearray(members[name])
        raw[len(raw) // 2] ^= 1
        return {**members, name: bytes(raw)}

    return change


BUNDLES = {
    "of other software": (
        lambda members: {"manifest.dill": b"x", "diffraction_to_obj.h5": b"x"},
        ["manifest.dill", "other software", "expected config.json, ", "ptycho train"],
    ),
    "newer": (newer, ["bundle version 99", "reads version 1", "install a later ptychopinn"]),
    "other weights": (flipped("weights.safetensors"), ["weights.safetensors does not match its hash", "copy it again"]),
    "other choices": (flipped("config.json"), ["config.json does not match its hash", "copy it again"]),
    "a manifest that is none": (
        lambda m: {**m, "manifest.json": b"[]"},
        ["manifest.json that is not ours", "expected"],
    ),
}


@pytest.mark.parametrize("kind", BUNDLES)
def test_a_bundle_that_can_not_be_used(refused, scan_file, trained, tmp_path, kind):
    change, words = BUNDLES[kind]
    rewritten(trained, tmp_path / "wts.h5.zip", change)
    for given in (tmp_path, tmp_path / "wts.h5.zip"):
        refused(["reconstruct", given, scan_file, "--output_dir", tmp_path / "out"], "wts.h5.zip", *words)


@pytest.mark.parametrize("part", ["half", "all but one", "none"])
def test_a_bundle_that_is_cut_short(refused, scan_file, trained, tmp_path, part):
    raw = (trained / "wts.h5.zip").read_bytes()
    kept = {"half": len(raw) // 2, "all but one": len(raw) - 1, "none": 0}[part]
    (tmp_path / "wts.h5.zip").write_bytes(raw[:kept])
    words = ["wts.h5.zip", "can't be read", "damaged or no bundle", "ptycho train"]
    refused(["reconstruct", tmp_path, scan_file, "--output_dir", tmp_path / "out"], *words)


def test_no_byte_of_a_bundle_can_flip_unseen(refused, scan_file, trained, tmp_path):
    raw = (trained / "wts.h5.zip").read_bytes()
    for at in np.random.default_rng(0).integers(0, len(raw), 5):
        (tmp_path / "wts.h5.zip").write_bytes(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])
        refused(["reconstruct", tmp_path, scan_file, "--output_dir", tmp_path / "out"], "wts.h5.zip")


@pytest.mark.parametrize(("given", "found"), [("folder", "holds no wts.h5.zip"), ("none", "does not exist")])
def test_a_run_without_a_bundle(refused, scan_file, tmp_path, given, found):
    run = tmp_path / "run"
    if given == "folder":
        run.mkdir()
    words = ["run", found, "expected a trained network", "ptycho train"]
    refused(["reconstruct", run, scan_file, "--output_dir", tmp_path / "out"], *words)


def test_a_bundle_for_patterns_of_another_size(refused, trained, tmp_path):
    path = tmp_path / "large.npz"
    assert main(["simulate", str(path), "--quiet", "--N", "64", "--positions", "4"]) == 0
    words = ["64 x 64 px", "trained on 32 x 32", "give a scan of 32 px"]
    refused(["reconstruct", trained, path, "--output_dir", tmp_path / "out"], *words)


def test_a_validation_scan_of_another_size(refused, scan_file, tmp_path):
    path = tmp_path / "large.npz"
    assert main(["simulate", str(path), "--quiet", "--N", "64", "--positions", "4"]) == 0
    words = ["64 x 64 px", "expected 32 x 32", "give another scan"]
    refused(["train", scan_file, "--validate", path, "--output_dir", tmp_path / "out"], *words)


REQUESTS = {
    "a negative number of iterations": (["--refine", "-1"], ["--refine is -1", "expected 0 or more", "correct it"]),
    "a probe without iterations": (["--refine_probe"], ["--refine_probe without", "expected --refine K", "add"]),
    "a batch of nothing": (["--batch_size", "0"], ["--batch_size is 0", "expected 1 or more", "correct it"]),
    "an accelerator that is not there": (["--accelerator", "mps"], ["'mps' is not available", "found cpu", "auto"]),
    "an accelerator that is none": (["--accelerator", "tpu"], ["'tpu'", "found cpu", "choose one of these or auto"]),
    "an unknown flag": (["--refin", "3"], ["--refin", "did you mean '--refine'?", "--help"]),
    "a word for a number": (["--refine", "many"], ["--refine is 'many'", "expected a whole number", "--help"]),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_that_makes_no_sense(refused, scan_file, trained, tmp_path, kind):
    flags, words = REQUESTS[kind]
    refused(["reconstruct", trained, scan_file, "--output_dir", tmp_path / "out", *flags], *words)


SIMULATIONS = {
    "an unknown object": (["--object", "linse"], ["linse", "lines", "--help"]),
    "an odd size": (["--N", "33"], ["N is 33", "even"]),
    "no positions": (["--positions", "0"], ["error: --positions is 0", "from 1 to"]),
    "no modes": (["--modes", "0"], ["error: --modes is 0", "from 1 to N"]),
    "too many dead pixels": (["--dead_pixels", "5000"], ["error: --dead_pixels is 5000", "below N * N"]),
    "an overlap of one": (["--overlap", "1"], ["overlap is 1", "below 1"]),
    "no photons": (["--photons", "nan"], ["photons is nan", "above 0"]),
    "a negative seed": (["--seed", "-1"], ["seed is -1", "expected 0 or more"]),
    "a word for a number": (["--positions", "many"], ["--positions is 'many'", "expected a whole number", "--help"]),
}


@pytest.mark.parametrize("kind", SIMULATIONS)
def test_a_simulation_that_makes_no_sense(refused, tmp_path, kind):
    flags, words = SIMULATIONS[kind]
    refused(["simulate", tmp_path / "new" / "scan.npz", *flags], *words)


@pytest.mark.parametrize("name", ["scan.txt", "scan.cxi"])
def test_a_simulation_in_another_layout(refused, tmp_path, name):
    refused(["simulate", tmp_path / name], f"{name} ends in '.{name[5:]}'", "expected .npz", "rename it")


def test_a_reference_that_shares_no_region(refused, reconstructed, tmp_path):
    with np.load(reconstructed / "reconstruction.npz") as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(tmp_path / "far.npz", **arrays | {"origin": arrays["origin"] + 1000})
    words = ["share no covered pixel", "give the reference of this scan"]
    refused(["compare", reconstructed, tmp_path / "far.npz"], *words)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_comparison_with_something_else(refused, reconstructed, trained, scan_file, tmp_path, swapped):
    np.savez(tmp_path / "other.npz", image=np.ones((8, 8)))
    if swapped:
        refused(
            ["compare", scan_file, reconstructed], "found a scan, missing object, ", "expected a reconstruction", "give"
        )
    else:
        refused(["compare", reconstructed, tmp_path / "other.npz"], "found keys image;", "expected objectGuess", "give")


OUTPUTS = {
    "train": lambda scan, run, out: ["train", scan, "--output_dir", out],
    "reconstruct": lambda scan, run, out: ["reconstruct", run, scan, "--output_dir", out],
    "demo": lambda scan, run, out: ["demo", "--output_dir", out],
    "simulate": lambda scan, run, out: ["simulate", out / "scan.npz"],
}


@pytest.mark.parametrize("verb", OUTPUTS)
@pytest.mark.parametrize("below", [".", "deep/er"])
def test_an_output_folder_that_is_a_file(refused, scan_file, trained, tmp_path, verb, below):
    file = tmp_path / "file"
    file.write_text("here first")
    refused(OUTPUTS[verb](scan_file, trained, file / below), "file", "not a folder", "expected one", "choose another")


@pytest.mark.parametrize("verb", OUTPUTS)
def test_a_folder_that_nobody_may_make(refused, scan_file, trained, verb):
    refused(OUTPUTS[verb](scan_file, trained, Path("/proc/nowhere")), "can't make the folder /proc/nowhere", "choose")


@pytest.mark.parametrize("verb", OUTPUTS)
def test_a_folder_that_can_not_be_written_to(refused, scan_file, trained, tmp_path, monkeypatch, verb):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    refused(OUTPUTS[verb](scan_file, trained, tmp_path / "out"), "can't be written to", "choose one that you may")


PRODUCTS = {"train": "wts.h5.zip", "reconstruct": "reconstruction.npz", "demo": "demo.png", "simulate": "scan.npz"}


@pytest.mark.parametrize("verb", OUTPUTS)
def test_results_that_are_there_already(refused, scan_file, trained, tmp_path, verb):
    (tmp_path / PRODUCTS[verb]).write_text("precious")
    words = [f"holds {PRODUCTS[verb]} already", "choose another", "--overwrite"]
    refused(OUTPUTS[verb](scan_file, trained, tmp_path), *words)


@pytest.fixture
def full_disk(monkeypatch):
    """Every file that is written holds a few bytes, and no more."""

    def fill(writer, name):
        original = getattr(writer, name)

        def write(*args, **kwargs):
            for target in args:
                if isinstance(target, Path):
                    target.write_bytes(b"the first bytes")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        assert callable(original)
        monkeypatch.setattr(writer, name, write)

    return fill


def test_a_disk_that_is_full_leaves_no_part_of_a_scan(refused, tmp_path, full_disk):
    full_disk(np.lib.format, "write_array_header_1_0")
    refused(["simulate", tmp_path / "scan.npz"], "scan.npz", "No space left", "free some space")


def test_a_disk_that_is_full_leaves_the_former_results(refused, scan_file, trained, reconstructed, tmp_path, full_disk):
    out = tmp_path / "out"
    shutil.copytree(reconstructed, out)
    full_disk(np.lib.format, "write_array_header_1_0")
    argv = ["reconstruct", trained, scan_file, "--output_dir", out, "--overwrite"]
    refused(argv, "reconstruction.npz", "No space left", "free some space")


def test_a_disk_that_is_full_leaves_no_part_of_a_bundle(scan_file, tmp_path, full_disk, capsys):
    full_disk(zipfile.ZipFile, "writestr")
    assert main(["train", str(scan_file), "--output_dir", str(tmp_path), *TRAIN]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "wts.h5.zip" in said
    assert "No space left" in said
    assert f"then go on with: ptycho train {scan_file} --output_dir {tmp_path} --resume" in said
    # What the run had before, so that it can be resumed, and nothing of the bundle.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "config.yaml", "logs", "training.json"]


def test_a_network_that_the_interrupted_run_did_not_have(refused, scan_file, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "wts.h5.zip").unlink()
    argv = ["train", scan_file, "--output_dir", run, "--resume", "--model.lean_width", "16"]
    refused(argv, "model.lean_width is 16 but 8 in", "expected the choices that the run began with", "leave them out")


def test_a_run_from_before_levels_were_a_choice_goes_on_with_even_ones_only(refused, scan_file, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "wts.h5.zip").unlink()
    kept = (run / "config.yaml").read_text(encoding="utf-8").splitlines()
    (run / "config.yaml").write_text("\n".join(line for line in kept if "lean_levels" not in line), encoding="utf-8")
    argv = ["train", scan_file, "--output_dir", run, "--resume", "--model.lean_levels", "slim"]
    refused(argv, "model.lean_levels is 'slim' but 'even' in", "expected the choices that the run began with")


def test_a_checkpoint_that_is_damaged(refused, scan_file, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "wts.h5.zip").unlink()
    for checkpoint in (run / "checkpoints").iterdir():
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    argv = ["train", scan_file, "--output_dir", run, "--resume"]
    refused(argv, "ckpt can't be read", "damaged", "start again with --overwrite")


def test_an_unknown_verb(capsys):
    assert main(["recontruct"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    for word in ("'recontruct' is not a verb", "did you mean 'reconstruct'?", "expected one of demo", "ptycho --help"):
        assert word in said.err


def test_swapped_arguments_of_a_reconstruction_are_named(refused, scan_file, trained, tmp_path):
    for network in (trained, trained / "wts.h5.zip"):
        argv = ["reconstruct", scan_file, network, "--output_dir", tmp_path / "out"]
        refused(argv, str(network), "is a trained network", "swap them")


def test_what_is_no_scan_is_called_by_its_name(refused, trained, reconstructed, tmp_path):
    """A file, or the folder that it lies in."""
    out, unpacked = ["--output_dir", tmp_path / "out"], tmp_path / "unpacked"
    shutil.unpack_archive(trained / "wts.h5.zip", unpacked)
    given = {
        unpacked: "found a folder with a trained network, expected",
        trained / "wts.h5.zip": "found a trained network, expected a scan; give",
        trained: "found a folder with a trained network, expected",
        reconstructed / "reconstruction.npz": "found a result of `ptycho reconstruct`, expected a scan; give",
        reconstructed: "found a folder with a result of `ptycho reconstruct`, expected",
    }
    for path, words in given.items():
        for argv in (["inspect", path], ["train", path, *out], ["reconstruct", trained, path, *out]):
            refused(argv, f"{path}: {words}")


def test_what_is_no_network_is_called_by_its_name(refused, scan_file, reconstructed, tmp_path):
    given = {
        scan_file: "found a scan",
        reconstructed / "reconstruction.npz": "found a result of `ptycho reconstruct`",
        reconstructed: "found a folder with a result of `ptycho reconstruct`",
    }
    for path, words in given.items():
        argv = ["reconstruct", path, scan_file, "--output_dir", tmp_path / "out"]
        refused(argv, f"{path}: {words}, expected a trained network; give the wts.h5.zip")
