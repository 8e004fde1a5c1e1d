"""True patches of a scan on its device: cut from the true object batch by batch, or those that the file brings."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Complex64, Float32, Int64
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.bilinear import whole_window
from ptycho_torch.physics.forward import Placement, place_on_canvas


@dataclass(frozen=True)
class Truth:
    """True patches of some positions, at whole pixels, so that nothing is interpolated.

    Attributes
    ----------
    patches
        (patch, y, x): the object around each position rounded down.
    known
        Where the object is known; 0 in ``patches`` elsewhere.
    remainder
        (patch, 2) (y, x), px: the part of the position that the probe carries, see `ptycho_torch.physics.forward`.
    """

    patches: Complex64[Tensor, "patch y x"]
    known: Bool[Tensor, "patch y x"]
    remainder: Float32[Tensor, "patch 2"]


@dataclass(frozen=True)
class StoredLabels:
    """One patch for every position (position, y, x), with the position itself on index N // 2."""

    patches: Complex64[Tensor, "position y x"]

    def at(self, members: Int64[Tensor, " patch"]) -> Truth:
        """Return the true patches of some positions."""
        patches = self.patches[members]
        known = torch.ones(patches.shape, dtype=torch.bool, device=patches.device)
        return Truth(patches, known, torch.zeros(len(patches), 2, device=patches.device))


@dataclass(frozen=True)
class CutLabels:
    """The true object on the canvas of a scan, where it is known there, and where the patches lie."""

    object_: Complex64[Tensor, "height width"]
    known: Bool[Tensor, "height width"]
    placement: Placement

    @staticmethod
    def of(object_: Complex64[np.ndarray, "height width"], positions: Tensor, size: int) -> "CutLabels":
        """Lay an object, whose pixels the positions index, on the canvas of those positions."""
        placement, origin = place_on_canvas(positions, size)
        top, left = origin.tolist()
        known = np.ones(object_.shape, bool)
        on_canvas, known_there = (
            torch.as_tensor(whole_window(image, top, left, placement.object_shape), device=positions.device)
            for image in (object_, known)
        )
        return CutLabels(on_canvas, known_there, placement)

    def at(self, members: Int64[Tensor, " patch"]) -> Truth:
        """Return the true patches of some positions."""
        part = self.placement.part(members)
        look = part.look()
        return Truth(look(self.object_), look(self.known), part.remainder)


# What they give for a position depends on the position alone, not on those it is asked with.
Labels = StoredLabels | CutLabels


def labels_of(acquisition: Acquisition, device: torch.device) -> Labels:
    """Return the labels that a scan brings, else those that its true object gives.

    `ptycho.acquisition.checks.require_labels` says beforehand whether there are any.
    """
    if acquisition.labels is not None:
        return StoredLabels(torch.as_tensor(acquisition.labels, device=device))
    assert acquisition.object_ is not None
    positions = torch.as_tensor(acquisition.positions, device=device)
    return CutLabels.of(acquisition.object_, positions, acquisition.size)
