"""``ptycho convert``: an older archive becomes a bundle that reconstructs; whatever can't is refused in one line."""

import io
import zipfile

import h5py
import numpy as np
import pytest
import torch

from ptycho.cli.main import main
from tests.persistence.older_archives import OldNetwork, Runs, of, rezip, torch_state, write_torch_archive

MODEL, STATE = "diffraction_to_obj/model.keras", "diffraction_to_obj/model.pth"


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """The scan of a training: 64 px patterns, as `ptycho simulate` writes them."""
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    assert main(["simulate", str(path), "--quiet", "--N", "64", "--positions", "30", "--overlap", "0.7"]) == 0
    return path


def convert(*argv):
    return main(["convert", *map(str, argv)])


@pytest.mark.parametrize("kind", ["TensorFlow", "PyTorch"])
def test_a_converted_network_reconstructs(tmp_path, scan, capsys, kind):
    if kind == "TensorFlow":
        old = of(shuffled=True).write(tmp_path)
    else:
        old = write_torch_archive(tmp_path, torch_state(OldNetwork(channels=4)))
    new = tmp_path / "new" / "wts.h5.zip"
    assert convert(old, new, "--scan", scan, "--quiet") == 0
    said = capsys.readouterr()
    first, rest = said.out.split("\nnot carried over:\n")
    gridsize = {"TensorFlow": 1, "PyTorch": 2}[kind]
    assert first == (
        f"wrote {new}: a cnn network of 64 x 64 px patterns, gridsize {gridsize}, n_filters_scale 1, probe_big True, "
        f"pad_object True, amp_activation sigmoid; probe and counts are those of {scan}"
    )
    left = rest.splitlines()
    assert all(line.startswith("- ") for line in left)
    for words in ("state of its training", "positions, probe", "params.dill"):
        assert sum(words in line for line in left) == 1, words
    assert said.err.count("warning") == {"TensorFlow": 0, "PyTorch": 1}[kind]
    out = tmp_path / "out"
    argv = [str(new.parent), str(scan), "--output_dir", str(out), "--quiet", "--accelerator", "cpu"]
    assert main(["reconstruct", *argv]) == 0
    with np.load(out / "reconstruction.npz", allow_pickle=False) as found:
        assert np.isfinite(found["object"]).all()
        assert np.abs(found["object"]).max() > 0
    assert not (tmp_path / "ran").exists()


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path, scan, capsys):
    old, new = of().write(tmp_path), tmp_path / "new.zip"
    new.write_bytes(b"mine")
    assert convert(old, new, "--scan", scan) == 2
    assert "holds new.zip already; choose another folder or give --overwrite" in capsys.readouterr().err
    assert new.read_bytes() == b"mine"
    assert convert(old, new, "--scan", scan, "--overwrite", "--quiet") == 0
    assert new.read_bytes() != b"mine"


def test_the_amplitude_s_activation_is_asked_for_once_where_it_is_not_stated(tmp_path, scan, capsys):
    old = of(activation=None).write(tmp_path)
    assert convert(old, tmp_path / "a.zip", "--scan", scan, "--quiet") == 0
    said = capsys.readouterr()
    assert "amp_activation sigmoid" in said.out
    assert said.err.count("warning: ") == 1
    assert "--amp_activation" in said.err
    assert convert(old, tmp_path / "b.zip", "--scan", scan, "--quiet", "--amp_activation", "softplus") == 0
    said = capsys.readouterr()
    assert "amp_activation softplus" in said.out
    assert said.err == ""


def test_a_network_without_its_scan_is_refused_with_the_line_to_type(tmp_path, refused):
    old, new = of().write(tmp_path), tmp_path / "new.zip"
    refused(["convert", old, new], "holds no probe", f"type: ptycho convert {old} {new} --scan SCAN")


def test_reconstruct_sends_an_older_archive_to_convert(tmp_path, scan, refused):
    old = of().write(tmp_path)
    refused(["reconstruct", old, scan, "--output_dir", tmp_path / "out"], "written by other software", "ptycho convert")


def soft_link(file):
    file["layers/conv2d/vars/2"] = h5py.SoftLink("/layers")


def external_link(file):
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars/0"] = h5py.ExternalLink("/etc/hostname", "/")


def nan(file):
    file["layers/conv2d/vars/0"][0, 0, 0, 0] = np.nan


def wrong_shape(file):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars/1"] = np.zeros(31, np.float32)


def cut_short(file):
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) // 3])


def truncated_weights(file):
    with zipfile.ZipFile(file) as archive:
        inner = io.BytesIO(archive.read(MODEL))
    rezip(inner, lambda m: {"model.weights.h5": m["model.weights.h5"][:100_000]}, target=(changed := io.BytesIO()))
    rezip(file, lambda members: {MODEL: changed.getvalue()})


def something_else(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", b"")


def bomb(file):
    """A model that unpacks to 2 GiB, as its entry says, from a few bytes."""
    rezip(file, lambda members: {MODEL: b"bomb"})
    raw = bytearray(file.read_bytes())
    name = MODEL.encode()
    # The size when unpacked: 8 bytes before the name in a local header, 22 in the central directory.
    for before, at in ((8, raw.index(name)), (22, raw.rindex(name))):
        raw[at - before : at - before + 4] = (2 << 30).to_bytes(4, "little")
    file.write_bytes(raw)


SPOILT = {
    "a file that is cut short": (cut_short, ["can't be read", "damaged"]),
    "weights that are cut short": (truncated_weights, ["model.weights.h5 can't be read", "damaged"]),
    "no zip": (lambda file: file.write_text("hello"), ["can't be read", "damaged or no bundle"]),
    "an empty file": (lambda file: file.write_bytes(b""), ["can't be read"]),
    "a bomb": (bomb, ["would unpack to 2147483648 bytes", "expected no zip bomb"]),
    "nothing that is known": (
        lambda file: rezip(file, lambda m: dict.fromkeys(m) | {"a.txt": b""}),
        ["holds a.txt;"],
    ),
    "no weights": (lambda file: rezip(file, lambda m: {MODEL: None}), [f"expected {MODEL} or {STATE}"]),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_an_archive_that_is_spoilt(tmp_path, scan, refused, kind):
    spoil, words = SPOILT[kind]
    old = of().write(tmp_path)
    spoil(old)
    refused(["convert", old, tmp_path / "new.zip", "--scan", scan], str(old), *words)


HOSTILE = {soft_link: ["is a link"], external_link: ["is a link"], nan: ["NaN"], wrong_shape: ["(31,)", "(32,)"]}


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_weights_that_can_not_be_used(tmp_path, scan, refused, change):
    old = of().write(tmp_path, change)
    refused(["convert", old, tmp_path / "new.zip", "--scan", scan], str(old), *HOSTILE[change])


def test_networks_that_mean_something_else(tmp_path, scan, refused):
    new = tmp_path / "new.zip"
    old = of(combination={}).write(tmp_path)
    refused(["convert", old, new, "--scan", scan], "CombineComplexLayer", "another object", "ptycho train")
    old = of(activation="relu").write(tmp_path)
    refused(["convert", old, new, "--scan", scan, "--amp_activation", "swish"], "'swish'", "'relu'", "leave")
    gate = {"model.autoencoder.encoder.gate.weight": torch.zeros(1, 2, 7, 7)}
    old = write_torch_archive(tmp_path, torch_state(OldNetwork(channels=4)) | gate)
    refused(["convert", old, new, "--scan", scan], "encoder.gate", "attention (CBAM)", "ptycho train")


def test_pickles_in_the_place_of_weights(tmp_path, scan, refused):
    old = write_torch_archive(tmp_path, Runs(tmp_path / "ran"))
    refused(["convert", old, tmp_path / "new.zip", "--scan", scan], "holds more than tensors")
    assert not (tmp_path / "ran").exists()


def test_paths_that_can_not_be_used(tmp_path, scan, scan_file, refused):
    old, new = of().write(tmp_path), tmp_path / "new.zip"
    refused(["convert", tmp_path / "none.zip", new, "--scan", scan], "none.zip does not exist")
    refused(["convert", tmp_path, new, "--scan", scan], "is a folder", "give the wts.h5.zip in it")
    refused(["convert", old, tmp_path, "--scan", scan], "is a folder; expected a file to write")
    refused(["convert", old, old / "new.zip", "--scan", scan], "is not a folder")
    refused(["convert", old, new, "--scan", tmp_path / "none.npz"], "none.npz: not found")
    refused(["convert", old, new, "--scan", old], "wts.h5.zip", "found a trained network, expected a scan")
    refused(["convert", old, new, "--scan", scan_file], "32 x 32 px", "64 x 64", "trained on")
    refused(["convert", old, new, "--scan", scan, "--probe_scale", "0"], "probe_scale is 0.0", "above 0")


def test_a_bundle_is_not_converted_again(tmp_path, scan, trained, refused):
    refused(["convert", trained / "wts.h5.zip", tmp_path / "new.zip", "--scan", scan], "is a bundle already", "use it")


def test_a_full_disk_leaves_nothing(tmp_path, scan, monkeypatch, capsys):
    old = of().write(tmp_path)

    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    assert convert(old, tmp_path / "new.zip", "--scan", scan) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["wts.h5.zip"]
