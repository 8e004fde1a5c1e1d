"""The description of the layers in a TensorFlow archive, config.json: what the weights alone don't show."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ptycho.base.errors import BundleError
from ptycho.config.old_names import ACTIVATIONS
from ptycho_torch.persistence.older_network import ADVICE, TRAIN_AGAIN


@dataclass(frozen=True)
class Layer:
    """One layer: its class, its choices, and the names of the layers whose output it reads."""

    kind: str
    choices: Mapping[str, Any]
    reads: frozenset[str]


@dataclass(frozen=True)
class Layers:
    """All layers by name, and where they were described."""

    by_name: Mapping[str, Layer]
    where: str

    @staticmethod
    def parse(raw: bytes, where: str) -> "Layers":
        """Read config.json; functions that are stored in it stay text.

        Raises
        ------
        BundleError
            It describes no layers.
        """
        try:
            described = json.loads(raw)["config"]["layers"]
            found = {
                layer["config"]["name"]: Layer(
                    layer["class_name"], dict(layer["config"]), frozenset(_origins(layer.get("inbound_nodes")))
                )
                for layer in described
            }
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise BundleError(f"{where} doesn't describe the layers of a network; {ADVICE}") from error
        return Layers(found, where)

    def require_polar(self) -> None:
        """Refuse a network whose object is not amplitude exp(i phase).

        Raises
        ------
        BundleError
            It joins the two in another way, or doesn't say how.
        """
        joins = [layer for layer in self.by_name.values() if layer.kind == "CombineComplexLayer"]
        if not joins or any(layer.choices.get("use_polar") is not True for layer in joins):
            raise BundleError(
                f"{self.where} has no CombineComplexLayer with use_polar, as for networks that gave amplitude + i "
                f"phase; expected amplitude exp(i phase): these weights mean another object; {TRAIN_AGAIN}"
            )

    def require_sizes(self, size: int, gridsize: int) -> None:
        """Refuse weights of another pattern size or group than the layers are for.

        Raises
        ------
        BundleError
            With both.
        """
        for layer in self.by_name.values():
            stated = [layer.choices.get("N", size), layer.choices.get("gridsize", gridsize)]
            if layer.kind == "ReassemblePatchesLayer" and stated != [size, gridsize]:
                raise BundleError(
                    f"{self.where} says N {stated[0]} and gridsize {stated[1]}; expected N {size} and gridsize "
                    f"{gridsize}, which the weights are for; {ADVICE}"
                )

    def amplitude_activation(self, last: str) -> str | None:
        """Return the activation of the amplitude after its last convolution, None where none is stated.

        Raises
        ------
        BundleError
            It is none that our network has.
        """
        stated = self._activation(last)
        if stated is not None and stated not in ACTIVATIONS:
            raise BundleError(
                f"{self.where}: the amplitude ends with the activation {stated!r}; expected one of "
                f"{', '.join(ACTIVATIONS)}; {TRAIN_AGAIN}"
            )
        return None if stated is None else ACTIVATIONS[stated]

    def require_tanh(self, last: str) -> None:
        """Refuse a phase that states another activation than tanh after its last convolution.

        Raises
        ------
        BundleError
            With the activation.
        """
        stated = self._activation(last)
        if stated not in (None, "tanh"):
            raise BundleError(
                f"{self.where}: the phase ends with the activation {stated!r}; expected pi tanh; {TRAIN_AGAIN}"
            )

    def _activation(self, name: str) -> str | None:
        """Return the first activation that a convolution or a layer that reads it states."""
        own = [self.by_name[name]] if name in self.by_name else []
        for layer in (*own, *(layer for layer in self.by_name.values() if name in layer.reads)):
            stated = layer.choices.get("activation")
            if isinstance(stated, str) and stated != "linear":
                return stated
        return None


def _origins(node: Any) -> Iterator[str]:
    """Yield the names of the layers that a node of the graph reads, however deep Keras nests them."""
    if isinstance(node, dict):
        if "keras_history" in node:
            yield str(node["keras_history"][0])
        node = list(node.values())
    if isinstance(node, list):
        for member in node:
            yield from _origins(member)
