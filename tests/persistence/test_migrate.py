"""Archives of the older software: their networks say what they said, in counts, and nothing else in them is opened."""

import io
import logging
import pickle
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch

from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.base.errors import BundleError, ConfigError, DataError
from ptycho.optics.intensity import CountRule
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence import keras_archive, keras_weights, torch_archive
from ptycho_torch.persistence.bundle import read_bundle, write_bundle
from ptycho_torch.persistence.migrate import carry_over, choose_activation, photons, read_archive
from tests.persistence.older_archives import (
    OldNetwork,
    Runs,
    TensorFlowArchive,
    constant_network,
    of,
    patches,
    rezip,
    torch_state,
    write_torch_archive,
)

MODEL = "diffraction_to_obj/model.keras"


def disk(size, radius=13.0):
    """A probe that is well inside the central half of a patch, with a phase of its own."""
    axis = np.arange(size) - size // 2 + 0.5
    r = np.hypot(axis[:, None], axis[None, :])
    return ((r < radius) * np.exp(0.3j * (r / radius) ** 2)).astype(np.complex64)


def scan_of(patches_, probe, counts=1e5):
    """The noiseless scan of object patches (position, y, x) on a grid, its mean counts as asked for."""
    intensity = np.abs(np.fft.fftshift(np.fft.fft2(probe * patches_, norm="ortho"), axes=(-2, -1))) ** 2
    intensity *= counts / intensity.sum(axis=(1, 2)).mean()
    n = len(patches_)
    positions = np.stack([40.0 + 6 * (np.arange(n) // 3), 40.0 + 6 * (np.arange(n) % 3)], axis=1)
    rule = CountRule("counts", 1.0, "counts: simulated")
    return acquisition_from_arrays(intensity, positions, probe, rule=rule)


def random_scan(size=64, n=9, counts=1e5):
    rng = np.random.default_rng(5)
    object_ = rng.uniform(0.5, 1, (n, size, size)) * np.exp(1j * rng.uniform(-1, 1, (n, size, size)))
    return scan_of(object_, disk(size), counts)


def converted(network, scan, **choices):
    given = {"probe_scale": 4.0, "amp_activation": choose_activation(network, None)} | choices
    return carry_over(network, scan, **given)


@torch.no_grad()
def said_by(network, seen):
    """Patches (y, x, channel) that our network with the weights of an archive says of X (y, x, channel)."""
    pinn, _ = converted(network, random_scan(network.model.N, n=1))
    # In double precision: a network of random weights lets rounding grow.
    seen = torch.from_numpy(seen.transpose(2, 0, 1)[None].astype(np.float64))
    return pinn.network.double()(seen).numpy()[0].transpose(1, 2, 0)


def pattern(network):
    rng = np.random.default_rng(3)
    drawn = rng.random((network.size, network.size, network.channels), dtype=np.float32) ** 4
    return drawn * network.size / 2 / np.sqrt(np.square(drawn).sum(axis=(0, 1)))


def assert_says_the_same(read, network, layers, activation="sigmoid"):
    seen = pattern(network)
    expected = patches(network, layers, seen, activation)
    assert np.abs(expected).std() > 0.01, "the network says something"
    np.testing.assert_allclose(said_by(read, seen), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


ARCHIVES = {
    "gridsize 1": of(),
    "no border": of(border=False),
    "whole patch at once": of(pad_object=False, border=False),
    "gridsize 2": of(channels=4),
    "gridsize 2, no border": of(channels=4, border=False, shuffled=True),
    "gridsize 3": of(channels=9, shuffled=True),
    "two filters": of(scale=2, shuffled=True),
    "128 px": of(size=128, shuffled=True),
    "128 px, no border, gridsize 2": of(size=128, channels=4, border=False),
    "128 px, whole patch at once": of(size=128, pad_object=False, shuffled=True),
    "256 px": of(size=256, shuffled=True),
    "numbers go on from an earlier model": of(first_number=22, shuffled=True),
    "no border, and numbers go on": of(border=False, first_number=18, shuffled=True),
    "the second last layer is there": of(border=False, second_last=True),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_network_of_tensorflow_says_what_it_said(tmp_path, kind):
    archive = ARCHIVES[kind]
    read = read_archive(archive.write(tmp_path))
    network = archive.network
    assert (read.model.architecture, read.model.N) == ("cnn", network.size)
    assert (read.model.gridsize**2, read.model.n_filters_scale) == (network.channels, network.scale)
    assert read.model.pad_object == network.pad_object
    assert read.model.probe_big == (network.border or not network.pad_object)
    assert read.activation == "sigmoid"
    assert read.intensity_scale == 31.25
    assert_says_the_same(read, network, archive.layers)
    assert not (tmp_path / "ran").exists()


def test_the_mark_of_a_pickle_that_runs_works(tmp_path):
    archive = of().write(tmp_path)
    with zipfile.ZipFile(archive) as opened:
        pickle.loads(opened.read("diffraction_to_obj/params.dill"))
    assert (tmp_path / "ran").exists()


def test_a_layer_that_nothing_reads_is_named(tmp_path):
    read = read_archive(of(border=False, second_last=True).write(tmp_path))
    assert [item.split(":")[0] for item in read.left if "nothing in the network reads" in item] == [
        "conv2d_7",
        "conv2d_13",
    ]
    assert any("params.dill" in item for item in read.left)
    assert any("optimiser" in item for item in read.left)


@pytest.mark.parametrize("stated_by", ["layer", "convolution"])
@pytest.mark.parametrize(("theirs", "ours"), [("silu", "swish"), ("swish", "swish"), ("softplus",) * 2, ("relu",) * 2])
def test_the_activation_is_the_one_that_is_stated(tmp_path, stated_by, theirs, ours):
    archive = of(activation=theirs, stated_by=stated_by)
    read = read_archive(archive.write(tmp_path))
    assert read.activation == ours
    assert_says_the_same(read, archive.network, archive.layers, ours)
    assert choose_activation(read, ours) == ours
    with pytest.raises(ConfigError, match=f"expected '{ours}', which the archive states"):
        choose_activation(read, "sigmoid")


def test_an_activation_that_is_not_stated_is_asked_for_and_else_sigmoid_with_one_warning(tmp_path, caplog):
    read = read_archive(of(activation=None).write(tmp_path))
    assert read.activation is None
    with caplog.at_level(logging.WARNING, "ptycho_torch"):
        assert choose_activation(read, "relu") == "relu"
        assert caplog.records == []
        assert choose_activation(read, None) == "sigmoid"
    assert len(caplog.records) == 1
    assert "--amp_activation" in caplog.text


def refused(file, match):
    with pytest.raises(BundleError, match=match) as caught:
        read_archive(file)
    message = str(caught.value)
    assert "\n" not in message, message
    assert str(file) in message
    assert len(message) < 1000
    assert not (file.parent / "ran").exists()


def with_layer(archive, role, change):
    """An archive with the first layer of a role changed: (kernel, bias) -> (kernel, bias); None removes it."""
    number = next(n for n, layer in archive.layers.items() if layer[0] == role)
    changed = change(*archive.layers[number][1:])
    if changed is None:
        del archive.layers[number]
    else:
        archive.layers[number] = (role, *changed)
    return archive


def spoilt(array, value):
    array = array.copy()
    array.flat[5 % array.size] = value
    return array


NETWORKS_THAT_MEAN_SOMETHING_ELSE = {
    "amplitude + i phase": (of(combination={}), "no CombineComplexLayer with use_polar.*another object.*ptycho train"),
    "said to be so": (of(combination={"use_polar": False}), "no CombineComplexLayer with use_polar"),
    "not said": (of(combination=None), "no CombineComplexLayer with use_polar"),
    "a tanh amplitude": (of(activation="tanh"), "activation 'tanh'; expected one of sigmoid, swish"),
    "another N": (of(reassembly={"N": 128}), "says N 128 and gridsize 1; expected N 64 and gridsize 1"),
    "another gridsize": (of(reassembly={"N": 64, "gridsize": 2}), "says N 64 and gridsize 2; expected N 64"),
    "a layer is missing": (with_layer(of(), "amplitude", lambda k, b: None), "21 convolutions.*expected those of the"),
    "an end is missing": (with_layer(of(), "phase conv1", lambda k, b: None), "to end with after.*from 28 channels"),
    "no layers at all": (with_layer(of(), "encoder", lambda k, b: None), "convolutions, numbered 1"),
    "three channels": (
        with_layer(of(), "encoder", lambda k, b: (k.repeat(3, axis=2), b)),
        r"conv2d \(3 to 32 channels\).*expected gridsize\^2 channels",
    ),
    "wider kernels": (
        with_layer(of(), "encoder", lambda k, b: (k.repeat(2, axis=0), b)),
        r"weight of conv2d has shape \(32, 1, 6, 3\); expected \(32, 1, 3, 3\)",
    ),
    "uneven widths": (
        with_layer(of(), "phase", lambda k, b: (k[..., 1:], b[1:])),
        r"weight of conv2d_16 has shape \(63, 128, 3, 3\); expected \(64, 128, 3, 3\), as phase\.blocks",
    ),
    "a width of none": (
        with_layer(of(), "encoder", lambda k, b: (k[..., 1:], b[1:])),
        r"conv2d \(1 to 31 channels\).*expected .* a multiple of 32",
    ),
    "one amplitude for a group": (
        with_layer(of(channels=4), "amplitude conv1", lambda k, b: (k[..., :1], b[:1])),
        r"weight of conv2d_6 has shape \(1, 28, 3, 3\); expected \(4, 28, 3, 3\)",
    ),
    "NaN": (with_layer(of(), "phase up", lambda k, b: (spoilt(k, np.nan), b)), "weight of conv2d_20 holds NaN"),
    "infinity": (with_layer(of(), "amplitude", lambda k, b: (k, spoilt(b, np.inf))), "bias of conv2d_8 holds NaN or"),
    "a bias short": (with_layer(of(), "phase up", lambda k, b: (k, b[1:])), "bias of conv2d_20 has shape"),
    "a matrix": (with_layer(of(), "amplitude", lambda k, b: (k[0], b)), "found the layer 'conv2d_8' with weights of"),
    "no scale": (of(intensity_scale=None), "model.h5 has the intensity_scale nan"),
    "a scale of zero": (of(intensity_scale=0.0), "model.h5 has the intensity_scale 0.0; expected a number above 0"),
    "a scale that is a word": (of(intensity_scale="big"), "model.h5 has the intensity_scale nan"),
}


@pytest.mark.parametrize("kind", NETWORKS_THAT_MEAN_SOMETHING_ELSE)
def test_a_network_that_ours_is_not_is_refused_by_name(tmp_path, kind):
    archive, match = NETWORKS_THAT_MEAN_SOMETHING_ELSE[kind]
    refused(archive.write(tmp_path), match)


def test_a_phase_with_another_range_is_refused(tmp_path):
    archive = of()
    config = archive.config()
    config["config"]["layers"].append(
        {
            "class_name": "Activation",
            "config": {"name": "activation_1", "activation": "sigmoid"},
            "inbound_nodes": [[[archive.name("phase conv1"), 0, 0, {}], {"keras_history": ["conv2d_14", 0, 0]}]],
        }
    )
    assert archive.name("phase conv1") == "conv2d_14"
    refused(archive.write(tmp_path, config=config), "the phase ends with the activation 'sigmoid'; expected pi tanh")


@pytest.mark.parametrize("config", [[], {}, {"config": {}}, {"config": {"layers": [{"class_name": "Conv2D"}]}}, "text"])
def test_a_description_that_is_none_is_refused(tmp_path, config):
    refused(of().write(tmp_path, config=config), "config.json doesn't describe the layers")


def dense(file):
    made = file.create_group("layers/dense/vars")
    made.attrs["name"] = "dense"
    made["0"], made["1"] = np.ones((8, 8)), np.ones(8)


def nested(file):
    file["layers/fourier/spectral/vars/0"] = np.ones(3)


def unnamed(file):
    del file["layers/conv2d_5/vars"].attrs["name"]


def twice(file):
    file.copy("layers/conv2d_5", "layers/conv2d_77")


def complex_kernel(file):
    del file["layers/conv2d_5/vars/0"]
    file["layers/conv2d_5/vars/0"] = np.ones((3, 3, 128, 128), np.complex64)


def soft_link(file):
    file["layers/conv2d_5/vars/2"] = h5py.SoftLink("/layers/conv2d_4/vars/0")


def link_beside_the_weights(file):
    file["optimizer/secret"] = h5py.ExternalLink("/etc/hostname", "/")


def external_link(file):
    del file["layers/conv2d_5/vars/0"]
    file["layers/conv2d_5/vars/0"] = h5py.ExternalLink("other.h5", "/x")


def external_storage(file):
    del file["layers/conv2d_5/vars/1"]
    file["layers/conv2d_5/vars"].create_dataset("1", (128,), "f4", external=[("/etc/hostname", 0, 512)])


def virtual(file):
    del file["layers/conv2d_5/vars/1"]
    layout = h5py.VirtualLayout((128,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (128,))
    file["layers/conv2d_5/vars"].create_virtual_dataset("1", layout)


def immense(file):
    del file["layers/conv2d_5/vars/0"]
    file["layers/conv2d_5/vars"].create_dataset("0", (3, 3, 1 << 20, 1 << 20), "f4", chunks=True)


def loop(file):
    file["layers/conv2d_5/vars/again"] = file["layers"]


HDF5 = {
    dense: "found the layer 'dense' with weights of shapes .*expected conv2d, conv2d_1",
    nested: "holds layers/fourier/spectral/vars/0; expected weights in layers/GROUP/vars",
    unnamed: "holds layers/conv2d_5/vars/0; expected weights in layers/GROUP/vars",
    twice: "two layers 'conv2d_5'",
    complex_kernel: "layers/conv2d_5/vars/0 has the type complex64",
    soft_link: "layers/conv2d_5/vars/2 is a link",
    link_beside_the_weights: "optimizer/secret is a link",
    external_link: "layers/conv2d_5/vars/0 is a link",
    external_storage: "layers/conv2d_5/vars/1 is a link or lies in another file",
    virtual: "layers/conv2d_5/vars/1 is a link or lies in another file",
    immense: "layers/conv2d_5/vars/0 has the type float32 and the shape .*1073741824 bytes of them",
}


@pytest.mark.parametrize("change", HDF5, ids=lambda change: change.__name__)
def test_weights_that_are_not_plain_are_refused(tmp_path, change):
    refused(of().write(tmp_path, change), HDF5[change])


def test_a_group_that_holds_itself_is_read_once(tmp_path):
    archive = of()
    read = read_archive(archive.write(tmp_path, loop))
    assert_says_the_same(read, archive.network, archive.layers)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9])
def test_hdf5_that_is_cut_short_is_refused(tmp_path, share):
    archive = of()
    file = archive.write(tmp_path)
    raw = archive.weights()
    stream = io.BytesIO(archive.model())
    rezip(stream, lambda members: {"model.weights.h5": raw[: int(share * len(raw))]}, target=(cut := io.BytesIO()))
    rezip(file, lambda members: {MODEL: cut.getvalue()})
    refused(file, "model.weights.h5 can't be read")


@pytest.mark.parametrize("inner", [b"", b"PK", b"\x89HDF\r\n\x1a\n"])
def test_a_model_that_is_no_zip_is_refused(tmp_path, inner):
    file = of().write(tmp_path)
    rezip(file, lambda members: {MODEL: inner})
    refused(file, "model.keras can't be read")


@pytest.mark.parametrize("name", [MODEL, "diffraction_to_obj/model.h5"])
def test_a_member_that_is_missing_is_named(tmp_path, name):
    file = of().write(tmp_path)
    rezip(file, lambda members: {name: None})
    refused(file, f"expected {name}")


def test_members_larger_than_their_limit_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    file = of().write(tmp_path)
    monkeypatch.setattr(keras_archive, "LARGEST", 1000)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    refused(file, r"model\.keras unpacks to \d+ bytes; expected 1000 at most")


def test_layers_that_are_too_large_together_are_refused(tmp_path, monkeypatch):
    file = of().write(tmp_path)
    monkeypatch.setattr(keras_weights, "LARGEST", 1_000_000)
    refused(file, "expected real numbers, 1000000 bytes of them in all layers")


# Amplitude and counts ---------------------------------------------------------------------------------------------


def older_counts(archive, scan, probe_scale=4.0):
    """What the older software expected of a scan: X as it saw it, its probe, its scale; in counts."""
    size = archive.network.size
    amplitude = np.sqrt(scan.counts().astype(np.float64))
    seen = amplitude * (size / 2) / np.sqrt(np.square(amplitude).sum(axis=(1, 2)).mean())
    said = np.stack([patches(archive.network, archive.layers, x[..., None])[..., 0] for x in seen])
    axis = np.arange(size) - size // 2 + 0.5
    inside = np.hypot(axis[:, None], axis[None, :]) < size // 4
    probe = scan.probe[0] / (probe_scale * np.abs(inside * scan.probe[0]).mean())
    scale = np.sqrt(np.square(amplitude).sum(axis=(1, 2)).mean()) / (size / 2)
    amplitude = np.sqrt(np.abs(np.fft.fftshift(np.fft.fft2(probe * said), axes=(-2, -1))) ** 2 / size**2)
    return (scale * amplitude) ** 2


@torch.no_grad()
def our_counts(pinn, scan):
    said = pinn.predict(torch.from_numpy(scan.counts()))
    wave = np.fft.fftshift(np.fft.fft2(pinn.probe[0].numpy() * said.numpy(), norm="ortho"), axes=(-2, -1))
    return np.abs(wave) ** 2


@pytest.mark.parametrize("scale", [31.25, 988.2], ids=["the scale is the scan's", "the scale was never set"])
@pytest.mark.parametrize("counts", [1e6, 3e3])
def test_a_converted_network_expects_the_counts_that_it_expected(tmp_path, counts, scale):
    archive = of(border=False, intensity_scale=scale)
    scan = random_scan(n=3, counts=counts)
    pinn, _ = converted(read_archive(archive.write(tmp_path)), scan)
    expected = older_counts(archive, scan)
    np.testing.assert_allclose(our_counts(pinn, scan), expected, rtol=0, atol=1e-5 * expected.max())


def test_the_probe_scale_is_that_of_the_training(tmp_path):
    archive = of(border=False)
    scan = random_scan(n=3)
    pinn, config = converted(read_archive(archive.write(tmp_path)), scan, probe_scale=10.0)
    expected = older_counts(archive, scan, probe_scale=10.0)
    np.testing.assert_allclose(our_counts(pinn, scan), expected, rtol=0, atol=1e-5 * expected.max())
    assert config.model.probe_scale == 10.0


@pytest.mark.parametrize("counts", [1e6, 2e3])
def test_the_object_has_the_amplitude_that_the_network_learned(tmp_path, counts):
    """The truth is flat, and the network knows it: in the units of its training, |F(Q O)| = X."""
    probe, phase = 7 * disk(64), 0.6
    scan = scan_of(np.full((9, 64, 64), 0.7 * np.exp(1j * phase)), probe, counts)
    axis = np.arange(64) - 31.5
    inside = np.hypot(axis[:, None], axis[None, :]) < 16
    older_probe = probe / (4 * np.abs(inside * probe).mean())
    amplitude = 32 / np.linalg.norm(older_probe)
    assert 0.3 < amplitude < 0.95, "a sigmoid can say it"
    pinn, config = converted(read_archive(constant_network(amplitude, phase).write(tmp_path)), scan)
    np.testing.assert_allclose(our_counts(pinn, scan), scan.counts(), rtol=0, atol=1e-4 * scan.counts().max())
    write_bundle(tmp_path / "new.zip", pinn, config)
    found = reconstruct(read_bundle(tmp_path / "new.zip").pinn, scan, device=torch.device("cpu"))
    object_ = found.stitched.object_[26:-26, 26:-26]
    np.testing.assert_allclose(object_, amplitude * np.exp(1j * phase), rtol=0, atol=1e-4)
    assert found.r_factor < 1e-3


def test_amplitudes_without_a_unit_get_the_counts_of_the_archive(tmp_path):
    read = read_archive(of(border=False, intensity_scale=31.25).write(tmp_path))
    assert photons(read) == 1e6
    scan = random_scan(n=3)
    unknown = acquisition_from_arrays(
        np.sqrt(scan.patterns) * 0.01234, scan.positions, scan.probe[0], nphotons=photons(read)
    )
    pinn, config = converted(read, unknown)
    assert pinn.intensity_scale == pytest.approx(31.25, rel=1e-6)
    assert config.nphotons == pytest.approx(1e6, rel=1e-6)


def test_counts_that_the_archive_contradicts_are_told(tmp_path, caplog):
    read = read_archive(of(border=False, intensity_scale=31.25).write(tmp_path))
    with caplog.at_level(logging.INFO, "ptycho_torch.persistence"):
        converted(read, random_scan(n=2, counts=1.01e6))
        assert caplog.records == []
        converted(read, random_scan(n=2, counts=2e6))
    assert "states 1e+06 counts a frame, the scan holds 2e+06" in caplog.text


def test_groups_find_enough_neighbours(tmp_path):
    pinn, config = converted(read_archive(of(channels=9).write(tmp_path)), random_scan(n=9))
    assert config.neighbor_count == 8
    write_bundle(tmp_path / "new.zip", pinn, config)
    assert read_bundle(tmp_path / "new.zip").pinn.channels == 9


def test_a_scan_of_another_size_is_refused(tmp_path):
    read = read_archive(of().write(tmp_path))
    with pytest.raises(DataError, match="32 x 32 px but the network of the archive sees 64 x 64"):
        converted(read, scan_of(np.ones((4, 32, 32)), disk(32, 7)))


# The older PyTorch port -------------------------------------------------------------------------------------------

PORT = OldNetwork(channels=4, seed=2)
ORDERS = [("decoder", "last", "up", "outer"), ("last", "up", "outer", "decoder"), ("up", "last", "decoder", "outer")]


@pytest.mark.parametrize("order", ORDERS)
def test_a_network_of_the_older_port_says_what_it_said(tmp_path, order):
    read = read_archive(write_torch_archive(tmp_path, torch_state(PORT, order)))
    assert (read.model.N, read.model.gridsize, read.model.n_filters_scale) == (64, 2, 1)
    assert (read.model.pad_object, read.model.probe_big) == (True, True)
    assert (read.activation, read.intensity_scale) == (None, None)
    assert_says_the_same(read, PORT, PORT.layers())
    assert any(item.startswith("model.physics.probe:") for item in read.left)
    assert any(item.startswith("probe_big:") for item in read.left)
    assert not (tmp_path / "ran").exists()


def test_choices_that_the_older_port_states_are_used(tmp_path):
    metadata = {"model_config": {"probe_big": False, "amp_activation": "SiLU", "cnn_output_mode": "amp_phase"}}
    read = read_archive(write_torch_archive(tmp_path, torch_state(PORT), metadata))
    assert (read.activation, read.model.probe_big) == ("swish", False)
    assert_says_the_same(read, OldNetwork(channels=4, seed=2, border=False), PORT.layers(), "swish")
    assert sum("probe_big = false leaves unread" in item for item in read.left) == 6


def test_choices_that_would_run_are_not_opened(tmp_path):
    file = write_torch_archive(tmp_path, torch_state(PORT), {"model_config": Runs(tmp_path / "ran")})
    assert_says_the_same(read_archive(file), PORT, PORT.layers())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("choice", "value"),
    [("cnn_output_mode", "real_imag"), ("physics_forward_mode", "rectangular_scaled"), ("pad_object", False)],
)
def test_a_network_of_the_older_port_that_means_something_else_is_refused(tmp_path, choice, value):
    file = write_torch_archive(tmp_path, torch_state(PORT), {"model_config": {choice: value}})
    refused(file, f"says {choice} {value!r}; expected .*the network means something else")


def test_an_amplitude_of_the_older_port_that_ours_does_not_have_is_refused(tmp_path):
    file = write_torch_archive(tmp_path, torch_state(PORT), {"model_config": {"amp_activation": "tanh"}})
    refused(file, "activation 'tanh'; expected one of sigmoid")


def widened(state, outer):
    """The same network with another number of channels left to the border."""
    changed = {}
    for name, tensor in state.items():
        if name.endswith("weight") and ".last." in name:
            tensor = torch.zeros(tensor.shape[0], 32 - outer, 3, 3)
        if name.endswith("weight") and tensor.shape[1] == 4 and ".up." in name:
            tensor = torch.zeros(tensor.shape[0], outer, 3, 3)
        changed[name] = tensor
    return changed


STATES = {
    "attention, its perceptron": (
        lambda s: s | {"model.autoencoder.encoder.cbam.0.mlp.weight": torch.zeros(2, 32)},
        r"encoder\.cbam\.0\.mlp with .*attention \(CBAM\), the default of that software.*ptycho train",
    ),
    "attention, its convolution": (
        lambda s: s | {"model.autoencoder.encoder.cbam.0.gate.weight": torch.zeros(1, 2, 7, 7)},
        r"encoder\.cbam\.0\.gate with .*attention",
    ),
    "one channel for the border": (lambda s: widened(s, 1), r"leaves 1 channels to the border.*c_outer.*expected 4"),
    "eight channels for the border": (lambda s: widened(s, 8), r"leaves 8 channels to the border.*c_outer"),
    "batch normalisation": (
        lambda s: s | {"model.autoencoder.encoder.norm.weight": torch.ones(32)},
        r"holds the layer model\.autoencoder\.encoder\.norm",
    ),
    "running means": (
        lambda s: s | {"model.autoencoder.encoder.norm.running_mean": torch.ones(32)},
        r"holds the layer model\.autoencoder\.encoder\.norm",
    ),
    "a layer of no part": (
        lambda s: s | {"model.shared.weight": torch.zeros(4, 4, 3, 3), "model.shared.bias": torch.zeros(4)},
        r"holds the layer model\.shared",
    ),
    "no bias": (lambda s: {n: t for n, t in s.items() if n != next(iter(s))}, "holds the layer .*encoder"),
    "whole numbers": (lambda s: {n: t.to(torch.int64) for n, t in s.items()}, "holds no real numbers"),
    "half an encoder": (
        lambda s: {n: t for n, t in s.items() if "encoder.decoder.2" not in n},
        "4 convolutions in its encoder; expected 6, 8 or 10",
    ),
    "no phase": (lambda s: {n: t for n, t in s.items() if "phase" not in n}, "the phase has the layers nothing"),
    "one layer less": (
        lambda s: {n: t for n, t in s.items() if "amp.outer" not in n},
        "the amplitude has the layers .*expected those of the cnn network",
    ),
    "wide up-sampling": (
        lambda s: {n: torch.cat([t, t]) if ".up.0.conv1" in n else t for n, t in s.items()},
        r"up\.0\.conv1 has shape \(64, 4, 3, 3\); expected \(32, 4, 3, 3\)",
    ),
    "NaN": (lambda s: {n: t * np.nan for n, t in s.items()}, "holds NaN or infinity"),
    "nothing": (lambda s: {}, "0 convolutions in its encoder"),
    "no tensors": (lambda s: {"weights": 7}, "something else than tensors by name"),
    "a list": (lambda s: list(s.values()), "something else than tensors by name"),
    "no data": (lambda s: {n: t.to("meta") for n, t in s.items()}, "something else than tensors by name|more than"),
    "sparse": (lambda s: {n: t.to_sparse() for n, t in s.items()}, "something else than tensors by name"),
    "one number as many": (
        lambda s: {n: torch.zeros(1).expand(1 << 30) for n in s},
        r"holds \d+ bytes of weights; expected 1073741824 at most",
    ),
}


@pytest.mark.parametrize("kind", STATES)
def test_weights_of_the_older_port_that_ours_does_not_have_are_refused_by_name(tmp_path, kind):
    change, match = STATES[kind]
    refused(write_torch_archive(tmp_path, change(torch_state(PORT, buffers=False))), match)


def test_a_whole_module_of_the_older_port_is_not_made(tmp_path):
    file = write_torch_archive(tmp_path, Runs(tmp_path / "ran"))
    refused(file, "holds more than tensors, or is damaged")


@pytest.mark.parametrize("raw", [b"", b"\x80\x02}q\x00.", b"PK\x03\x04"])
def test_weights_of_the_older_port_that_are_none_are_refused(tmp_path, raw):
    file = write_torch_archive(tmp_path, torch_state(PORT))
    rezip(file, lambda members: {"diffraction_to_obj/model.pth": raw})
    refused(file, "model.pth can't be read")


@pytest.mark.parametrize(
    "pickled", [b"\x80\x01K\x07Q.", b"\x80\x02", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."]
)
def test_pickles_that_torch_stumbles_over_are_refused_without_a_warning(tmp_path, pickled):
    file = write_torch_archive(tmp_path, torch_state(PORT))
    torch.save(7, whole := io.BytesIO())
    rezip(
        whole,
        lambda members: {next(n for n in members if n.endswith("data.pkl")): pickled},
        target=(bad := io.BytesIO()),
    )
    rezip(file, lambda members: {"diffraction_to_obj/model.pth": bad.getvalue()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(file, "model.pth holds more than tensors, or is damaged")


def test_weights_of_the_older_port_are_bounded_inside_too(tmp_path, monkeypatch):
    file = write_torch_archive(tmp_path, torch_state(PORT))
    monkeypatch.setattr(torch_archive, "LARGEST", 10_000_000)
    monkeypatch.setattr(torch, "load", None)
    rezip(file, lambda members: {"diffraction_to_obj/model.pth": bomb()})
    refused(file, r"model\.pth unpacks to \d+ bytes; expected 10000000 at most")


def bomb():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * 20_000_000)
    return stream.getvalue()


def test_the_archives_of_the_tests_are_what_they_say():
    """Guards the fixtures: numbers as documented for N 64 with and without a border."""
    assert OldNetwork(border=False).places()[12][0] == "phase conv1"
    assert OldNetwork().places()[14][0] == "phase conv1"
    assert [n for n, place in OldNetwork().places().items() if place[0] == "amplitude up"] == [12, 13]
    assert [n for n, place in OldNetwork().places().items() if place[0] == "phase up"] == [20, 21]
    shuffled = TensorFlowArchive(OldNetwork(), shuffled=True).weights()
    with h5py.File(io.BytesIO(shuffled)) as file:
        named = [group["vars"].attrs["name"] == name for name, group in file["layers"].items() if "conv" in name]
    assert len(named) == 22
    assert sum(named) < 5
