"""The network of an archive of the older PyTorch port: tensors alone, read with ``weights_only``."""

import io
import pickle
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ptycho.base.errors import BundleError
from ptycho.config.old_names import ACTIVATIONS
from ptycho_torch.networks.cnn import BORDER_CHANNELS, DECODER_WIDTHS, ENCODER_WIDTHS
from ptycho_torch.persistence.older_network import (
    ADVICE,
    LARGEST,
    TRAIN_AGAIN,
    Convolution,
    Layout,
    OlderNetwork,
    cnn_weights,
)
from ptycho_torch.persistence.zips import open_zip, read_members

MODEL, METADATA = "diffraction_to_obj/model.pth", "torch_scaling_metadata.pt"
# Words in the names of modules -> the part of the network that they belong to.
PARTS = {"encoder": "encoder", "amp": "amplitude", "amplitude": "amplitude", "phase": "phase"}
# Choices of that port -> the value that our network was made for; with another the weights mean something else.
EXPECTED = {"cnn_output_mode": "amp_phase", "physics_forward_mode": "amplitude", "pad_object": True}
UNREADABLE = (
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    ImportError,
    OSError,
    EOFError,
    pickle.UnpicklingError,
    struct.error,
)


def read_torch_archive(file: Path) -> OlderNetwork:
    """Read the network of an archive of the older PyTorch port.

    Convolutions are recognised by the part that the names of their modules speak of, by their order and their shapes.

    Raises
    ------
    BundleError
        The file is damaged or too large, holds more than tensors, or the network is not what our ``cnn`` is.
    """
    where = str(file)
    with open_zip(file, where, ADVICE) as archive:
        wanted = [name for name in (MODEL, METADATA) if name in archive.namelist()]
        members = read_members(archive, dict.fromkeys(wanted, LARGEST), where, ADVICE)
    choices = _choices(members.get(METADATA), f"{where}: {METADATA}")
    where = f"{where}: {MODEL}"
    parts, others = _parts(_state(members[MODEL], where), where)
    encoder = parts["encoder"]
    sizes = [size for size, widths in ENCODER_WIDTHS.items() if 2 * len(widths) == len(encoder)]
    if not sizes:
        raise BundleError(
            f"{where} has {len(encoder)} convolutions in its encoder; expected 6, 8 or 10 as the cnn network has for N "
            f"64, 128 or 256; {TRAIN_AGAIN}"
        )
    layout = Layout.of(sizes[0], encoder[0], where)
    heads = [_head(parts[part], layout, f"{where}: the {part}") for part in ("amplitude", "phase")]
    border = choices.get("probe_big", True) is True
    used = [*encoder, *(layer for head in heads for layer in (*head.centre, *(head.border if border else ())))]
    model = layout.model(pad_object=True, border=border)
    left = [
        "the state of its training (optimiser, epochs, losses): the network is ready to use, not to be trained on",
        "positions, probe, intensity_scale and configuration: they are in pickles (params.dill and others), which are "
        "never opened; choices that the weights don't show have our defaults",
        *(f"{name}: no layer of the network" for name in others),
    ]
    if "probe_big" not in choices:
        left.append("probe_big: the archive doesn't say it; taken as true, the default of that software")
    if not border:
        left += [
            f"{layer.name}: a layer that probe_big = false leaves unread" for head in heads for layer in head.border
        ]
    return OlderNetwork(model, cnn_weights(used, model, where), _activation(choices, where), None, tuple(left))


def _choices(raw: bytes | None, where: str) -> Mapping[str, Any]:
    """Return the model's choices where the archive holds them as plain values, and nothing where it doesn't.

    Raises
    ------
    BundleError
        They say that the network sees or gives something else than ours.
    """
    try:
        found = None if raw is None else _load(raw, where)
    except UNREADABLE:
        # Objects of that software instead of plain values; they are not made.
        return {}
    choices = found.get("model_config") if isinstance(found, dict) else None
    if not isinstance(choices, dict):
        return {}
    for name, expected in EXPECTED.items():
        if choices.get(name, expected) != expected:
            raise BundleError(
                f"{where} says {name} {choices[name]!r}; expected {expected!r}: the network means something else than "
                f"our cnn network does; {TRAIN_AGAIN}"
            )
    return choices


def _activation(choices: Mapping[str, Any], where: str) -> str | None:
    stated = choices.get("amp_activation")
    if stated is None:
        return None
    if str(stated).lower() not in ACTIVATIONS:
        raise BundleError(
            f"{where}: the amplitude ends with the activation {stated!r}; expected one of {', '.join(ACTIVATIONS)}; "
            f"{TRAIN_AGAIN}"
        )
    return ACTIVATIONS[str(stated).lower()]


def _load(raw: bytes, where: str) -> Any:
    """Return what torch reads without making anything but tensors and plain values; its zip is bounded like ours."""
    with open_zip(raw, where, ADVICE) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > LARGEST:
        raise BundleError(f"{where} unpacks to {size} bytes; expected {LARGEST} at most; {ADVICE}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


def _state(raw: bytes, where: str) -> dict[str, Tensor]:
    try:
        state = _load(raw, where)
    except BundleError:
        raise
    except UNREADABLE as error:
        raise BundleError(
            f"{where} holds more than tensors, or is damaged; expected the weights by name; {TRAIN_AGAIN}"
        ) from error
    if not (isinstance(state, dict) and all(isinstance(n, str) and _plain(t) for n, t in state.items())):
        raise BundleError(f"{where} holds something else than tensors by name; expected weights; {TRAIN_AGAIN}")
    # A tensor may claim more than is stored: then its rows are the same.
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if size > LARGEST:
        raise BundleError(f"{where} holds {size} bytes of weights; expected {LARGEST} at most; {ADVICE}")
    return dict(state)


def _plain(found: Any) -> bool:
    return isinstance(found, Tensor) and found.layout is torch.strided and found.device.type == "cpu"


def _parts(state: Mapping[str, Tensor], where: str) -> tuple[dict[str, list[Convolution]], list[str]]:
    """Return the convolutions of every part in their order, and the names of tensors that belong to no part."""
    layers: dict[str, dict[str, Tensor]] = {}
    others = []
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if leaf in ("weight", "bias") or _part(module):
            layers.setdefault(module, {})[leaf] = tensor
        else:
            others.append(name)
    parts: dict[str, list[Convolution]] = {part: [] for part in PARTS.values()}
    for module, tensors in layers.items():
        part = _part(module)
        shapes = {leaf: tuple(tensor.shape) for leaf, tensor in tensors.items()}
        if part is None or set(tensors) != {"weight", "bias"} or shapes["weight"][2:] != (3, 3):
            raise BundleError(
                f"{where} holds the layer {module} with {shapes}{_suspicion(shapes)}; expected 3 x 3 convolutions in "
                f"an encoder, an amplitude and a phase part, as our cnn network has, and nothing else; {TRAIN_AGAIN}"
            )
        if not all(tensor.is_floating_point() for tensor in tensors.values()):
            raise BundleError(f"{where}: {module} holds no real numbers; expected weights; {TRAIN_AGAIN}")
        parts[part].append(Convolution(module, tensors["weight"].detach(), tensors["bias"].detach()))
    return parts, others


def _part(module: str) -> str | None:
    """Return the one part of the network that the name of a module speaks of."""
    named = {PARTS[word] for word in re.split(r"[._]", module.lower()) if word in PARTS}
    return named.pop() if len(named) == 1 else None


def _suspicion(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Say what a layer is by its shape: gates are perceptrons or 1 x 1 convolutions, then 7 x 7 ones."""
    kernel = shapes.get("weight", ())
    gate = len(kernel) == 2 or kernel[2:] in ((1, 1), (7, 7))
    return ": attention (CBAM), the default of that software and not part of our networks" if gate else ""


@dataclass(frozen=True)
class _Head:
    """Convolutions of one head in the order of our network: decoder and centre, then the border."""

    centre: Sequence[Convolution]
    border: Sequence[Convolution]


def _head(found: Sequence[Convolution], layout: Layout, where: str) -> _Head:
    """Tell the convolutions of a head apart; those of the border are there whether it is used or not."""
    width = layout.scale * DECODER_WIDTHS[layout.size][-1]
    narrow = min((layer.channels_in for layer in found), default=0)
    if narrow != BORDER_CHANNELS and any(layer.channels_in == width - narrow for layer in found):
        raise BundleError(
            f"{where} leaves {narrow} channels to the border of a patch (c_outer); expected {BORDER_CHANNELS}, as our "
            f"cnn network does and that software with gridsize 2; {TRAIN_AGAIN}"
        )
    up = next((pair for pair in pairwise(found) if pair[0].channels_in == BORDER_CHANNELS), ())
    rest = [layer for layer in found if layer not in up]
    centre = [layer for layer in rest if layer.channels_in == width - BORDER_CHANNELS]
    last = [layer for layer in rest if layer.channels_out == layout.channels and layer not in centre]
    decoder = [layer for layer in rest if layer not in (*centre, *last)]
    counts = [len(layers) for layers in (decoder, centre, up, last)]
    if counts != [2 * len(DECODER_WIDTHS[layout.size]), 1, 2, 1]:
        raise BundleError(
            f"{where} has the layers {', '.join(map(str, found)) or 'nothing'}; expected those of the cnn network for "
            f"N {layout.size} and gridsize^2 = {layout.channels}; {TRAIN_AGAIN}"
        )
    return _Head([*decoder, *centre], [*up, *last])
