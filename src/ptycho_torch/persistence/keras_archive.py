"""The network of a TensorFlow archive: weights from HDF5, choices from JSON; nothing else in it is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ptycho.base.errors import BundleError
from ptycho.base.printable import listed
from ptycho_torch.networks.cnn import BORDER_CHANNELS, DECODER_WIDTHS, ENCODER_WIDTHS
from ptycho_torch.persistence.keras_layers import Layers
from ptycho_torch.persistence.keras_weights import convolutions, intensity_scale
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

MODEL, SCALE = "diffraction_to_obj/model.keras", "diffraction_to_obj/model.h5"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def read_keras_archive(file: Path) -> OlderNetwork:
    """Read the network of a TensorFlow archive.

    Raises
    ------
    BundleError
        A member is missing, damaged, too large or reaches outside itself, or the network is not what our ``cnn`` is.
    """
    where = str(file)
    outer = _members(file, {MODEL: LARGEST, SCALE: 1 << 20}, where)
    where = f"{where}: {MODEL}"
    inner = _members(outer[MODEL], {CONFIG: 16 << 20, WEIGHTS: LARGEST}, where)
    layers = Layers.parse(inner[CONFIG], f"{where}: {CONFIG}")
    layers.require_polar()
    parts = _parts(convolutions(inner[WEIGHTS], f"{where}: {WEIGHTS}"), where)
    network = parts.network(where)
    layers.require_sizes(network.model.N, network.model.gridsize)
    amplitude, phase = (head.centre(where).name for head in parts.heads)
    layers.require_tanh(phase)
    return replace(
        network,
        activation=layers.amplitude_activation(amplitude),
        intensity_scale=intensity_scale(outer[SCALE], f"{file}: {SCALE}"),
    )


def _members(source: Path | bytes, limits: Mapping[str, int], where: str) -> dict[str, bytes]:
    with open_zip(source, where, ADVICE) as archive:
        names = archive.namelist()
        missing = [name for name in limits if name not in names]
        if missing:
            raise BundleError(f"{where} holds {listed(names)}; expected {', '.join(missing)} too; {ADVICE}")
        return read_members(archive, limits, where, ADVICE)


@dataclass(frozen=True)
class _Head:
    """Convolutions of one head: those that may be last, the decoder, up-sampling before the last (none without)."""

    ends: Sequence[Convolution]
    decoder: Sequence[Convolution]
    up: Sequence[Convolution]

    @property
    def border(self) -> bool:
        """Whether up-sampling speaks of the border; otherwise it is there for the whole patch."""
        return bool(self.up) and self.up[0].channels_in == BORDER_CHANNELS

    def centre(self, where: str) -> Convolution:
        """Return the last convolution of the centre, or of the whole patch."""
        after_decoder = self.decoder[-1].channels_out - BORDER_CHANNELS
        return self._end(after_decoder if self.border or not self.up else self.up[-1].channels_out, where)

    def ordered(self, where: str) -> list[Convolution]:
        """Return all convolutions that are used, in the order of our network."""
        if self.border:
            return [*self.decoder, self.centre(where), *self.up, self._end(self.up[-1].channels_out, where)]
        return [*self.decoder, *self.up, self.centre(where)]

    def _end(self, channels_in: int, where: str) -> Convolution:
        found = [end for end in self.ends if end.channels_in == channels_in]
        if len(found) != 1:
            raise BundleError(
                f"{where} has {', '.join(map(str, self.ends)) or 'nothing'} to end with after {self.decoder[-1]}; "
                f"expected one convolution from {channels_in} channels, as the cnn network has; {TRAIN_AGAIN}"
            )
        return found[0]


@dataclass(frozen=True)
class _Parts:
    """Convolutions of a network by what they are: of patterns of N px, the heads for amplitude and phase."""

    size: int
    encoder: Sequence[Convolution]
    heads: Sequence[_Head]

    def network(self, where: str) -> OlderNetwork:
        """Return the network, without what only config.json and model.h5 say."""
        border, up = self.heads[0].border, self.heads[0].up
        model = Layout.of(self.size, self.encoder[0], where).model(pad_object=border or not up, border=border)
        used = [*self.encoder, *(layer for head in self.heads for layer in head.ordered(where))]
        unused = [end.name for head in self.heads for end in head.ends if end not in used]
        left = (
            "the state of its training (optimiser, epochs, losses): the network is ready to use, not to be trained on",
            "positions, probe and configuration: they are in pickles (params.dill and others), which are never opened; "
            "choices that the weights don't show have our defaults",
            *(f"{name}: a layer that nothing in the network reads" for name in unused),
        )
        return OlderNetwork(model, cnn_weights(used, model, where), None, None, left)


def _parts(found: Mapping[int, Convolution], where: str) -> _Parts:
    """Say what every convolution is; they are numbered in the order of their making, from any first number on.

    The order is: encoder; amplitude: the two that may be last, decoder, up-sampling; phase: the same. Of the two, one
    may be used by nobody and then is not stored, so the numbers may have gaps; their span tells the size.
    """
    first, last = min(found, default=0), max(found, default=0)
    places = [found.get(number) for number in range(first, last + 1)] if last - first < 100 else []
    for size, n_up in product(ENCODER_WIDTHS, (0, 2)):
        n_encoder, n_decoder = 2 * len(ENCODER_WIDTHS[size]), 2 * len(DECODER_WIDTHS[size])
        n_head = 2 + n_decoder + n_up
        if len(places) != n_encoder + 2 * n_head:
            continue
        heads = (places[n_encoder : n_encoder + n_head], places[n_encoder + n_head :])
        encoder, decoders = _present(places[:n_encoder]), [_present(head[2:]) for head in heads]
        if len(encoder) == n_encoder and all(len(decoder) == n_decoder + n_up for decoder in decoders):
            return _Parts(
                size,
                encoder,
                [
                    _Head(_present(head[:2]), decoder[:n_decoder], decoder[n_decoder:])
                    for head, decoder in zip(heads, decoders, strict=True)
                ],
            )
    raise BundleError(
        f"{where} has {len(found)} convolutions, numbered {first} to {last}; expected those of the cnn network for N "
        f"64, 128 or 256: an encoder, and a decoder each for amplitude and phase; {TRAIN_AGAIN}"
    )


def _present(places: Sequence[Convolution | None]) -> list[Convolution]:
    return [layer for layer in places if layer is not None]
