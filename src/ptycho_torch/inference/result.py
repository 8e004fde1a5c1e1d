"""What becomes of a scan, and how long each stage took."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.refinement import Refinement
from ptycho.metrics.self_check import SelfCheck
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.physics.forward import NO_LIGHT, Placement

ALL = slice(None)


@dataclass(frozen=True)
class Result:
    """What became of a scan.

    Attributes
    ----------
    stitched, final
        The object that the iterations start from (what the network alone gives, where there is one), and the one after
        them (the same without any).
    deviance, held_out_deviance, r_factor
        Of ``final``: mean Poisson deviance a pixel (about 1, or less where most pixels are empty); that of the pixels
        that the iterations did not fit, None without any; and sum |sqrt(I_model) - sqrt(I)| / sum sqrt(I).
    seconds
        Stage -> time it took.
    iterations
        Iterations that were made.
    stopped_early
        Whether held-out pixels ended the iterations.
    network_weight
        Share of the network's object in that of ``final``; the rest is what the iterations made of it.
    network_kept
        Whether the share is 1, because photons that neither network nor iterations saw did not find the object better
        for the iterations: the object of ``final`` is that of ``stitched``, in the scale that it has with the probe of
        ``final``.
    check
        What the result says of itself, where that was asked for.
    field
        Where the canvas was solved in fields: the one in the middle, which ``check`` and the history speak of, while
        deviances and R-factor are means over all of them. None for a canvas in one piece.
    """

    stitched: Reconstruction
    final: Reconstruction
    deviance: float
    held_out_deviance: float | None
    r_factor: float
    seconds: dict[str, float]
    iterations: int
    stopped_early: bool
    network_weight: float
    network_kept: bool
    check: SelfCheck | None = None
    field: Reconstruction | None = None


class Clock:
    """Seconds of the stages of a reconstruction, what a GPU still computes included."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def reconstruction_of(
    at: Estimate,
    coverage: Tensor,
    origin: Tensor,
    acquisition: Acquisition,
    history: dict[str, list[float]],
    placement: Placement,
    frames: Int64[np.ndarray, " frame"] | slice = ALL,
) -> Reconstruction:
    """Return an estimate as what is written of a scan.

    Parameters
    ----------
    coverage, origin, placement
        Light on the canvas, counts; position (y, x) of its first pixel, px; and where the scan says that its patches
        lie on it.
    frames
        Those of the acquisition that the estimate is of.
    """
    positions = acquisition.positions[frames]
    moved = None if at.positions is None else (at.positions - placement.positions).cpu().numpy()
    drift = np.zeros(2) if moved is None else moved.mean(axis=0)
    seen = coverage > NO_LIGHT * coverage.amax()
    return Reconstruction(
        object_=torch.where(seen, at.object_, 0).cpu().numpy(),
        coverage=torch.where(seen, coverage, 0).cpu().numpy(),
        # The canvas begins at the corner of a patch, and a position names the pixel at patch index N // 2.
        # Frames that all move together with the object count the same: only their differences are known.
        origin=origin.cpu().numpy().astype(np.float64) - drift,
        probe=at.probe.cpu().numpy(),
        positions=positions,
        history=history,
        geometry=acquisition.geometry,
        indexes=None if acquisition.indexes is None else acquisition.indexes[frames],
        corrected_positions=None if moved is None else positions + (moved - drift),
        flux=_array(None if at.gain is None else at.gain.square()),
        background=None if at.haze is None else float(at.haze.square()),
        variations=_array(at.variations),
        variation_weights=_array(at.weights),
    )


def iterations_of(history: dict[str, list[float]], refinement: Refinement) -> int:
    """Return how many iterations the curves of a refinement tell of."""
    return max(0, len(history.get("deviance", [])) - 1 - refinement.approaches)


def _array(part: Tensor | None) -> NDArray[Any] | None:
    return None if part is None else part.cpu().numpy()
