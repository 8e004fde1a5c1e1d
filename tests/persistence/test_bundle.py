"""Bundles come back bit for bit, in any process; anything else is refused in one line, and nothing in one can run."""

import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from ptycho.base.errors import BundleError, OutputError
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.persistence import bundle as bundle_module
from ptycho_torch.persistence.bundle import MEMBERS, read_bundle, write_bundle
from ptycho_torch.pinn.build import Constants, build
from tests.laws.scans import small_scan

COUNTS = torch.poisson(20 * torch.rand(100, 32, 32, generator=torch.Generator().manual_seed(1)))


def trained(gridsize=1, model_type="pinn", architecture="lean", levels="slim", **choices):
    """A network that is not fresh: every weight and running sum has a value of its own."""
    network = {"architecture": architecture, "lean_width": 8, "lean_levels": levels}
    model = ModelConfig(N=32, gridsize=gridsize, model_type=model_type, **network)
    config = TrainingConfig(model, output_dir=Path("run"), **choices)
    torch.manual_seed(3)
    pinn = build(config.model, config, Constants.of(small_scan(n_modes=2))).eval()
    with torch.no_grad():
        for tensor in pinn.state_dict().values():
            tensor += 0.05 * torch.rand_like(tensor)
    return pinn, config


PINN, CONFIG = trained()


@pytest.fixture
def file(tmp_path):
    write_bundle(tmp_path / "wts.h5.zip", PINN, CONFIG)
    return tmp_path / "wts.h5.zip"


def members_of(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(file, members):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)


def forge(file, **changed):
    """Replace members and make the hashes agree again, as somebody who means harm would."""
    members = {**members_of(file), **{name.replace("_", "."): raw for name, raw in changed.items()}}
    manifest = json.loads(members["manifest.json"])
    manifest["sha256"] = {name: hashlib.sha256(members[name]).hexdigest() for name in manifest["sha256"]}
    rewrite(file, {**members, "manifest.json": json.dumps(manifest).encode()})


def refused(file, match):
    with pytest.raises(BundleError, match=match) as caught:
        read_bundle(file)
    message = str(caught.value)
    assert "\n" not in message, message
    assert str(file) in message
    assert len(message) < 600


@torch.no_grad()
def predicted(pinn):
    return pinn.predict(COUNTS[:, :32, :32])


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"gridsize": 2},
        {"gridsize": 5},
        {"model_type": "supervised"},
        {"architecture": "unrolled"},
        {"probe_trainable": True, "intensity_scale_trainable": False},
    ],
)
def test_a_bundle_gives_the_same_predictions_bit_for_bit(tmp_path, choices):
    pinn, config = trained(**choices)
    write_bundle(tmp_path / "wts.h5.zip", pinn, config)
    read = read_bundle(tmp_path)
    assert torch.equal(predicted(read.pinn), predicted(pinn))
    assert read.config == config
    assert not read.pinn.training
    for name, tensor in pinn.state_dict().items():
        assert torch.equal(read.pinn.state_dict()[name], tensor), name
    assert read.pinn.probe_parts.requires_grad == config.probe_trainable
    assert read.manifest.packages["torch"] == torch.__version__


NEW_PROCESS = """
import sys
import numpy as np
import torch
from ptycho_torch.persistence.bundle import read_bundle
pinn = read_bundle(sys.argv[1]).pinn
with torch.no_grad():
    np.save(sys.argv[3], pinn.predict(torch.from_numpy(np.load(sys.argv[2]))).numpy())
assert not {"lightning", "torch._dynamo"} & sys.modules.keys(), "each takes seconds to open"
"""


def test_a_bundle_is_read_in_another_process(file, tmp_path):
    given, made = tmp_path / "counts.npy", tmp_path / "patches.npy"
    np.save(given, COUNTS.numpy())
    subprocess.run([sys.executable, "-c", NEW_PROCESS, file, given, made], check=True)
    np.testing.assert_array_equal(np.load(made), predicted(PINN).numpy())


def test_a_bundle_holds_what_it_says_and_is_the_same_each_time(file, tmp_path):
    members = members_of(file)
    assert set(members) == {"manifest.json", "config.json", "weights.safetensors"}
    manifest = json.loads(members["manifest.json"])
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256(members[name]).hexdigest() == digest
    write_bundle(tmp_path / "again.zip", PINN, CONFIG)
    assert members_of(tmp_path / "again.zip") == members


def test_a_bundle_of_other_software_is_recognised(tmp_path):
    file = tmp_path / "wts.h5.zip"
    rewrite(file, {"manifest.dill": b"\x80\x04.", "diffraction_to_obj/model.keras": b"PK"})
    refused(file, "written by other software.*`ptycho convert.*`ptycho train`")


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"weights.safetensors": None}, r"expected .*weights.safetensors"),
        ({"manifest.json": None}, r"expected .*manifest.json"),
        ({"evil.pkl": b"\x80\x04."}, "holds .*evil.pkl"),
        ({"../outside.json": b"{}"}, "holds .*outside"),
        ({"/etc/passwd": b"root"}, "holds .*passwd"),
        ({"a\nb": b""}, "holds"),
    ],
)
def test_missing_and_additional_members_are_refused(file, members, match):
    kept = {name: raw for name, raw in {**members_of(file), **members}.items() if raw is not None}
    rewrite(file, kept)
    refused(file, match)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(file):
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("config.json", b"{}")
    refused(file, "holds")


@pytest.mark.parametrize("member", ["config.json", "weights.safetensors"])
def test_a_changed_member_does_not_match_its_hash(file, member):
    members = members_of(file)
    raw = bytearray(members[member])
    raw[len(raw) // 2] ^= 1
    rewrite(file, {**members, member: bytes(raw)})
    refused(file, f"{member} does not match its hash.*copy it again")


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_or_does_no_harm(tmp_path_factory, where, bit):
    file = tmp_path_factory.mktemp("bit") / "wts.h5.zip"
    write_bundle(file, PINN, CONFIG)
    raw = bytearray(file.read_bytes())
    raw[int(where * len(raw))] ^= 1 << bit
    file.write_bytes(raw)
    try:
        read = read_bundle(file)
    except BundleError:
        return
    assert torch.equal(predicted(read.pinn), predicted(PINN))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(file, share):
    raw = file.read_bytes()
    file.write_bytes(raw[: int(share * len(raw))])
    refused(file, "can't be read|damaged")


def test_what_is_not_there_and_what_is_no_bundle_are_refused(tmp_path):
    refused(tmp_path / "nothing.zip", "does not exist")
    refused(tmp_path, r"holds no wts\.h5\.zip, but nothing; expected")
    (tmp_path / "logs").mkdir()
    refused(tmp_path, r"holds no wts\.h5\.zip, but logs; expected")
    (tmp_path / "checkpoints").mkdir()
    refused(tmp_path, rf"training was interrupted.*: ptycho train SCAN --output_dir {tmp_path} --resume")
    (tmp_path / "text.zip").write_text("hello")
    refused(tmp_path / "text.zip", "can't be read")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": 2}, "bundle version 2; .* reads version 1"),
        ({"version": 2, "packages": None, "news": 1}, "bundle version 2; .* reads version 1"),
        ({"version": "1"}, "version '1'"),
        ({"format": "something"}, "format 'something'"),
        ({"backend": "tensorflow"}, "backend 'tensorflow'"),
        ({"surprise": 1}, "manifest"),
        ({"sha256": None}, "manifest"),
        ({"sha256": []}, "manifest"),
        ({"sha256": {}}, "does not match its hash"),
        ({"packages": "x"}, "manifest"),
        ({"models": 3}, "manifest"),
    ],
)
def test_manifests_of_another_kind_are_refused(file, changes, match):
    members = members_of(file)
    manifest = {**json.loads(members["manifest.json"]), **changes}
    rewrite(file, {**members, "manifest.json": json.dumps(manifest).encode()})
    refused(file, match)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"7", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": "ptychopinn-bundle"}']
)
def test_manifests_that_are_none_are_refused(file, raw):
    rewrite(file, {**members_of(file), "manifest.json": raw})
    refused(file, "manifest")


def config_with(file, **model):
    config = json.loads(members_of(file)["config.json"])
    config["model"] |= model
    return config


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda file: {**config_with(file), "surprise": 1}, "does not know: surprise"),
        (lambda file: config_with(file, surprise=1), r"does not know: model\.surprise"),
        (lambda file: config_with(file, N=64), "don't fit"),
        (lambda file: config_with(file, lean_width=16), "don't fit"),
        (lambda file: config_with(file, lean_levels="even"), "don't fit"),
        (lambda file: config_with(file, gridsize=2, lean_width=8), "don't fit|neighbor_count"),
        (lambda file: config_with(file, architecture="cnn"), "don't fit"),
        (lambda file: config_with(file, architecture="none"), "don't fit"),
        (lambda file: config_with(file, N="many"), "don't fit"),
        (lambda file: config_with(file, N=2**20), "don't fit"),
        (lambda file: config_with(file, lean_width=2**20), "don't fit"),
        (lambda file: [1, 2], "don't fit"),
        (lambda file: "text", "don't fit"),
    ],
)
def test_configurations_that_do_not_fit_the_weights_are_refused(file, change, match):
    forge(file, config_json=json.dumps(change(file)).encode())
    refused(file, match)


def test_a_bundle_from_before_levels_were_a_choice_holds_even_ones(tmp_path):
    pinn, config = trained(levels="even")
    file = tmp_path / "wts.h5.zip"
    write_bundle(file, pinn, config)
    choices = json.loads(members_of(file)["config.json"])
    del choices["model"]["lean_levels"]
    forge(file, config_json=json.dumps(choices).encode())
    found = read_bundle(file)
    assert found.config.model.lean_levels == "even"
    assert torch.equal(predicted(found.pinn), predicted(pinn))


def test_a_configuration_nested_too_deep_is_refused(file):
    forge(file, config_json=b"[" * 500_000)
    refused(file, "don't fit")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {},
        lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "probe_parts"},
        lambda tensors: {**tensors, "surprise": torch.zeros(3)},
        lambda tensors: {**tensors, "probe_parts": torch.zeros(7)},
        lambda tensors: {**tensors, "probe_parts": torch.zeros(2, 32, 32, 2, dtype=torch.int64)},
        lambda tensors: {**tensors, "probe_parts": tensors["probe_parts"][0].contiguous()},
        lambda tensors: {**tensors, "input_scale": torch.zeros(3)},
        lambda tensors: {**tensors, "network.stem.weight": torch.zeros(8, 8, 3, 4)},
        lambda tensors: {**tensors, "network.stem.bias": torch.full((8,), float("nan"))},
    ],
)
def test_weights_that_are_not_those_of_the_network_are_refused(file, change):
    tensors = load(members_of(file)["weights.safetensors"])
    members = members_of(file)
    forge(file, **{"config.json": members["config.json"], "weights.safetensors": save(change(tensors))})
    refused(file, "don't fit")


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("member", sorted(MEMBERS))
def test_no_member_can_run(file, tmp_path, member):
    mark = tmp_path / "ran"
    pickled = pickle.dumps(Runs(mark))
    pickle.loads(pickled)
    assert mark.exists(), "the mark works"
    mark.unlink()
    torch_file = io.BytesIO()
    torch.save({"state_dict": Runs(mark)}, torch_file)
    for raw in (pickled, torch_file.getvalue()):
        if member == "manifest.json":
            rewrite(file, {**members_of(file), member: raw})
        else:
            write_bundle(file, PINN, CONFIG)
            forge(file, **{member: raw})
        refused(file, "manifest|don't fit")
    assert not mark.exists()


def test_members_larger_than_their_limit_are_refused_before_they_are_unpacked(file, monkeypatch):
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    monkeypatch.setitem(bundle_module.MEMBERS, "weights.safetensors", 1000)
    refused(file, r"weights\.safetensors unpacks to \d+ bytes; expected 1000 at most")


def test_a_bomb_that_lies_about_its_size_is_stopped(file):
    members = members_of(file)
    rewrite(file, {**members, "config.json": b" " * (100 << 20)})
    raw = file.read_bytes()
    size, small = (100 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert raw.count(size) == 2, "in the local header and in the central directory"
    file.write_bytes(raw.replace(size, small))
    assert len(raw) < 1 << 20
    refused(file, "can't be read|lies about its size|does not match its hash")


@pytest.mark.parametrize("older", [True, False])
def test_nothing_is_left_when_the_disk_is_full(tmp_path, monkeypatch, older):
    file = tmp_path / "wts.h5.zip"
    if older:
        file.write_bytes(b"older")

    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_bundle(file, PINN, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == (["wts.h5.zip"] if older else [])
    assert not older or file.read_bytes() == b"older"
