"""Archives as the older software writes them, made with zipfile, json and h5py alone; and what their networks say.

Every pickle in them makes a file when it is loaded.
"""

import io
import json
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch

ENCODER = {64: (32, 64, 128), 128: (16, 32, 64, 128), 256: (8, 16, 32, 64, 128)}
DECODER = {64: (64, 32), 128: (128, 64, 32), 256: (256, 128, 64, 32)}


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def rezip(file, change, target=None):
    """Write a zip file again with its members changed: name -> bytes, None to leave one out."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= change(members)
    with zipfile.ZipFile(target or file, "w") as archive:
        for name, raw in members.items():
            if raw is not None:
                archive.writestr(name, raw)


@dataclass(frozen=True)
class OldNetwork:
    """A network of the older software: its choices, and a place for every convolution in the order of their making."""

    size: int = 64
    channels: int = 1
    scale: int = 1
    border: bool = True
    pad_object: bool = True
    second_last: bool = False
    seed: int = 0

    def places(self):
        """Number in the order of making -> (role, channels in, channels out)."""
        filters = self.scale
        made, wide = [], self.channels
        for width in ENCODER[self.size]:
            made += [("encoder", wide, width * filters), ("encoder", width * filters, width * filters)]
            wide = width * filters
        up_sampled = 2048 // self.size * filters
        for part in ("amplitude", "phase"):
            last = 32 * filters
            into = last - 4 if self.pad_object else up_sampled
            made.append((f"{part} conv1", into, self.channels))
            used = self.pad_object and self.border
            made.append((f"{part} conv2", up_sampled, self.channels) if used or self.second_last else None)
            into = wide
            for width in DECODER[self.size]:
                made += [(part, into, width * filters), (part, width * filters, width * filters)]
                into = width * filters
            if self.border or not self.pad_object:
                into = 4 if self.pad_object else last
                made += [(f"{part} up", into, up_sampled), (f"{part} up", up_sampled, up_sampled)]
        return dict(enumerate(made))

    def layers(self):
        """Number -> (role, kernel (y, x, in, out), bias), drawn so that features keep their size."""
        rng = np.random.default_rng(self.seed)
        return {
            number: (
                place[0],
                (rng.standard_normal((3, 3, *place[1:])) * np.sqrt(2 / (9 * place[1]))).astype(np.float32),
                (0.1 * rng.standard_normal(place[2])).astype(np.float32),
            )
            for number, place in self.places().items()
            if place
        }


def conv(x, kernel, bias):
    """Convolution as Keras has it, "same": x (y, x, in)."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return bias + sum(
        padded[i : i + height, j : j + width] @ kernel[i, j].astype(np.float64) for i in range(3) for j in range(3)
    )


def double(x):
    return x.repeat(2, axis=0).repeat(2, axis=1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "sigmoid": sigmoid,
    "swish": lambda x: x * sigmoid(x),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "relu": lambda x: np.maximum(x, 0),
}


def patches(network, layers, seen, activation="sigmoid"):
    """What a network says of X (y, x, channel): complex patches of the same shape, in double precision."""

    def through(x, role):
        pairs = [layer[1:] for layer in layers.values() if layer[0] == role]
        for first, second in zip(pairs[::2], pairs[1::2], strict=True):
            x = np.maximum(conv(np.maximum(conv(x, *first), 0), *second), 0)
            x = x.reshape(x.shape[0] // 2, 2, -1, 2, x.shape[2]).max(axis=(1, 3)) if role == "encoder" else double(x)
        return x

    def last(x, role):
        return conv(x, *next(layer[1:] for layer in layers.values() if layer[0] == role))

    def head(features, part, act):
        h = through(features, part)
        if not network.pad_object:
            return act(last(through(h, f"{part} up"), f"{part} conv1"))
        margin = network.size // 4
        image = np.pad(act(last(h[..., :-4], f"{part} conv1")), ((margin, margin), (margin, margin), (0, 0)))
        if network.border:
            border = ACTIVATIONS["swish"](last(through(h[..., -4:], f"{part} up"), f"{part} conv2"))
            border[margin:-margin, margin:-margin] = 0
            image = image + border
        return image

    features = through(seen.astype(np.float64), "encoder")
    amplitude = head(features, "amplitude", ACTIVATIONS[activation])
    return amplitude * np.exp(1j * head(features, "phase", lambda x: np.pi * np.tanh(x)))


def keras_name(number):
    return f"conv2d_{number}" if number else "conv2d"


@dataclass
class TensorFlowArchive:
    """What goes into an archive of TensorFlow; change it, then write it."""

    network: OldNetwork = field(default_factory=OldNetwork)
    first_number: int = 0
    shuffled: bool = False
    activation: str | None = "sigmoid"
    stated_by: str = "layer"
    combination: dict | None = field(default_factory=lambda: {"use_polar": True})
    reassembly: dict | None = None
    intensity_scale: object = 31.25
    layers: dict = field(init=False)

    def __post_init__(self):
        self.layers = self.network.layers()

    def name(self, role):
        return next(keras_name(n + self.first_number) for n, layer in self.layers.items() if layer[0] == role)

    def config(self):
        described = [("InputLayer", {"name": "input"}, [])]
        for number, layer in self.layers.items():
            activation = "linear" if "conv" in layer[0] else "relu"
            if layer[0] == "amplitude conv1" and self.stated_by == "convolution":
                activation = self.activation
            name = keras_name(number + self.first_number)
            described.append(("Conv2D", {"name": name, "activation": activation}, ["input"]))
        if self.activation and self.stated_by == "layer":
            choices = {"name": "activation", "activation": self.activation}
            described.append(("Activation", choices, [self.name("amplitude conv1")]))
        described.append(("Lambda", {"name": "lambda", "function": {"config": "gASVAAAA"}}, ["activation"]))
        if self.combination is not None:
            described.append(("CombineComplexLayer", {"name": "combine", **self.combination}, ["lambda"]))
        if self.reassembly is not None:
            described.append(("ReassemblePatchesLayer", {"name": "reassemble", **self.reassembly}, ["combine"]))
        layers = [
            {
                "class_name": kind,
                "config": choices,
                "name": choices["name"],
                "inbound_nodes": [
                    {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": [read, 0, 0]}}]}
                    for read in reads
                ],
            }
            for kind, choices, reads in described
        ]
        return {"class_name": "Functional", "config": {"name": "model", "layers": layers}}

    def weights(self, change=lambda file: None):
        """The HDF5 member; groups are not named for their layers."""
        stream = io.BytesIO()
        numbers = list(self.layers)
        groups = list(np.random.default_rng(1).permutation(numbers)) if self.shuffled else numbers
        with h5py.File(stream, "w") as file:
            for group, number in zip(groups, numbers, strict=True):
                made = file.create_group(f"layers/{keras_name(int(group))}/vars")
                made.attrs["name"] = keras_name(number + self.first_number)
                made["0"], made["1"] = self.layers[number][1:]
            file.create_group("layers/lambda/vars").attrs["name"] = "lambda"
            file["optimizer/vars/0"] = 7
            change(file)
        return stream.getvalue()

    def model(self, change=lambda file: None, config=None):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr("config.json", json.dumps(self.config() if config is None else config))
            archive.writestr("model.weights.h5", self.weights(change))
        return stream.getvalue()

    def write(self, folder, change=lambda file: None, config=None):
        """Write wts.h5.zip into a folder; a pickle of it that runs makes folder/ran."""
        scale = io.BytesIO()
        with h5py.File(scale, "w") as file:
            if self.intensity_scale is not None:
                file.attrs["intensity_scale"] = self.intensity_scale
        evil = pickle.dumps(Runs(folder / "ran"))
        with zipfile.ZipFile(folder / "wts.h5.zip", "w") as archive:
            archive.writestr("manifest.dill", evil)
            for name in ("autoencoder", "diffraction_to_obj"):
                archive.writestr(f"{name}/model.keras", self.model(change, config))
                archive.writestr(f"{name}/model.h5", scale.getvalue())
                archive.writestr(f"{name}/params.dill", evil)
                archive.writestr(f"{name}/custom_objects.dill", evil)
        return folder / "wts.h5.zip"


def constant_network(amplitude, phase):
    """An archive whose network says the same of every pattern: one amplitude and one phase in the centre."""
    archive = TensorFlowArchive(OldNetwork(border=False))
    logits = {"amplitude conv1": np.log(amplitude / (1 - amplitude)), "phase conv1": np.arctanh(phase / np.pi)}
    for number, (role, kernel, bias) in archive.layers.items():
        archive.layers[number] = (role, 0 * kernel, np.full_like(bias, logits.get(role, 0)))
    return archive


def of(**choices):
    """An archive of a network; choices are those of the network and of the archive together."""
    own = {name: choices.pop(name) for name in list(choices) if name in OldNetwork.__dataclass_fields__}
    return TensorFlowArchive(OldNetwork(**own), **choices)


def torch_state(network, order=("decoder", "last", "up", "outer"), buffers=True):
    """The weights of a network as the older PyTorch port names them, parts of a head registered in some order."""
    layers = network.layers()
    names = {}
    for part, module in (("encoder", "encoder"), ("amplitude", "decoder_amp"), ("phase", "decoder_phase")):
        groups = {"decoder": part, "last": f"{part} conv1", "up": f"{part} up", "outer": f"{part} conv2"}
        for group in order if part != "encoder" else ("decoder",):
            found = [layer for layer in layers.values() if layer[0] == groups[group]]
            for index, (_, kernel, bias) in enumerate(found):
                names[f"model.autoencoder.{module}.{group}.{index // 2}.conv{index % 2 + 1}"] = (kernel, bias)
    state = {"model.physics.probe": torch.ones(1, 64, 64, dtype=torch.complex64)} if buffers else {}
    for name, (kernel, bias) in names.items():
        state[f"{name}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        state[f"{name}.bias"] = torch.from_numpy(bias)
    return state


def write_torch_archive(folder, state, metadata=None):
    """Write wts.h5.zip of the older PyTorch port into a folder; a pickle of it that runs makes folder/ran."""
    evil = pickle.dumps(Runs(folder / "ran"))
    with zipfile.ZipFile(folder / "wts.h5.zip", "w") as archive:
        archive.writestr("manifest.dill", evil)
        for name, content in (("autoencoder", {"_sentinel": "autoencoder"}), ("diffraction_to_obj", state)):
            stream = io.BytesIO()
            torch.save(content, stream)
            archive.writestr(f"{name}/model.pth", stream.getvalue())
            archive.writestr(f"{name}/params.dill", evil)
        if metadata is not None:
            stream = io.BytesIO()
            torch.save(metadata, stream)
            archive.writestr("torch_scaling_metadata.pt", stream.getvalue())
    return folder / "wts.h5.zip"
