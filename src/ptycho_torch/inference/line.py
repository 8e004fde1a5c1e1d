"""The likelihood along a line: what was transformed once serves the curvature, every step, and the next line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Complex64, Float64
from torch import Tensor

from ptycho_torch.base.devices import free_memory
from ptycho_torch.inference.captured import MOST_FIELDS, Replayed
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.frame_probes import PARTS
from ptycho_torch.inference.likelihood import Changed, Chunk, Likelihood, Seen, Value
from ptycho_torch.inference.pages import Canvas, Judged
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.propagation import surrounding

# Bytes of fields that are kept from one iteration to the next, and on a GPU the share of its free memory.
MOST_KEPT, SHARE_KEPT = 2**29, 0.5

Fields = Complex64[Tensor, "frame mode y x"]


class Line:
    """The likelihood along a line in all that is free: fields are made where they are asked for.

    Parameters
    ----------
    likelihood, at
        Where lines begin.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        self._likelihood, self._at = likelihood, at

    def curvature(self, along: Estimate) -> float:
        """Return the curvature along a direction: that of the line from now on."""
        self._along = along
        return self._likelihood.curvature(self._at, along)

    def value(self, length: float) -> tuple[Estimate, Value]:
        """Return the estimate so far along, and what the likelihood says of it."""
        at = self._at.plus(length, self._along)
        return at, self._likelihood(at)

    def go(self, at: Estimate) -> None:
        """Let lines begin at the estimate whose value was asked for last."""
        self._at = at


@dataclass
class _Kept:
    """Of a chunk: where it is cut, the probe with all that surrounds a bare transform, fields on the detector.

    ``change`` is that of the fields along the line, ``there`` the fields where the value was asked for last.
    """

    chunk: Chunk
    look: PatchesAt
    lit: Fields
    field: Fields
    change: Fields
    there: Fields


class KeptLine(Line):
    """The likelihood along a line on which no probe changes: fields on the detector go along straight lines too.

    psi(t) = psi + t F[P d]: one transform of a frame a line, and one back for the gradient of every step.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        super().__init__(likelihood, at)
        around = surrounding(at.probe)
        self._kept = [
            _Kept(chunk, chunk.look, probes.fields * around, field, field, field)
            for chunk, probes, _, field in likelihood.fields(at)
        ]

    def curvature(self, along: Estimate) -> float:
        """Return the curvature along a direction: that of the line from now on."""
        self._along = along
        return float(self._likelihood.bend(self._at, along, self._changes(along)))

    def _changes(self, along: Estimate) -> Iterator[Changed]:
        for kept in self._kept:
            kept.change = torch.fft.fft2(self._likelihood.pages.exit_waves(kept.lit, kept.look, along.object_))
            yield kept.chunk, kept.field, kept.change

    def value(self, length: float) -> tuple[Estimate, Value]:
        """Return the estimate so far along, and what the likelihood says of it."""
        at = self._at.plus(length, self._along)
        return at, self._likelihood.value(at, self._seen(length))

    def _seen(self, length: float) -> Iterator[Seen]:
        for kept in self._kept:
            yield kept.chunk, kept.field, (kept.change, length), partial(_add_back, self._likelihood, kept)

    def go(self, at: Estimate) -> None:
        """Let lines begin at the estimate whose value was asked for last."""
        super().go(at)
        for kept in self._kept:
            kept.field = kept.there


class RecordedLine(KeptLine):
    """`KeptLine` over few frames on a GPU, where the object alone is free: a curvature and a value are a launch each.

    Fields stay where they are, for a graph finds them by their place.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        super().__init__(likelihood, at)
        for kept in self._kept:
            kept.change = torch.empty_like(kept.field)
        self._length = torch.zeros((), device=at.object_.device)
        self._still = at.times(0.0)
        # No method of its own: a line that holds itself would keep its memory when it is done with.
        bend = partial(_bend, likelihood, self._kept, at, self._still)
        told = partial(_told, likelihood, self._kept, at, self._length)
        self._bend = Replayed(bend, "the curvature along a line")
        self._told = Replayed(told, "the value along a line")

    def curvature(self, along: Estimate) -> float:
        """Return the curvature along a direction: that of the line from now on."""
        self._along = along
        return float(self._bend(self._at.object_, along.object_))

    def value(self, length: float) -> tuple[Estimate, Value]:
        """Return the estimate so far along, and what the likelihood says of it."""
        at = self._at.plus(length, self._along)
        self._length.fill_(length)
        sums, outside, slope = self._told(at.object_)
        return at, self._likelihood.read(sums, outside.clone(), replace(self._still, object_=slope.clone()))

    def go(self, at: Estimate) -> None:
        """Let lines begin at the estimate whose value was asked for last."""
        self._at = at
        for kept in self._kept:
            kept.field.copy_(kept.there)


def _add_back(likelihood: Likelihood, kept: _Kept, gradient: Estimate, judged: Judged) -> None:
    kept.there = judged.field
    if "object_" in likelihood.free:
        back = torch.fft.ifft2(judged.slope, norm="forward")
        likelihood.pages.add_back(gradient.object_, kept.look, kept.lit, back)


def _bend(
    likelihood: Likelihood, kept: list[_Kept], at: Estimate, still: Estimate, object_: Canvas, along: Canvas
) -> Float64[Tensor, ""]:
    """Return the curvature at an object along a direction, and write down how fields change."""

    def changes() -> Iterator[Changed]:
        for each in kept:
            torch.fft.fft2(likelihood.pages.exit_waves(each.lit, each.look, along), out=each.change)
            yield each.chunk, each.field, each.change

    return likelihood.bend(replace(at, object_=object_), replace(still, object_=along), changes())


def _told(
    likelihood: Likelihood, kept: list[_Kept], at: Estimate, length: Tensor, object_: Canvas
) -> tuple[Tensor, Tensor, Canvas]:
    """Return what the likelihood has told of an object so far along, its gradient last."""

    def seen() -> Iterator[Seen]:
        for each in kept:
            there = torch.addcmul(each.field, each.change, length)
            yield each.chunk, there, None, partial(_add_back, likelihood, each)

    sums, outside, gradient = likelihood.told(replace(at, object_=object_), seen())
    return sums, outside, gradient.object_


def line_from(likelihood: Likelihood, at: Estimate) -> Line:
    """Return the lines that begin at an estimate; fields are kept where the probe is fixed and there is room.

    What one GPU is asked is recorded where the object alone is free and frames are so few that they leave it idle.
    """
    device = at.object_.device
    most = MOST_KEPT
    if device.type == "cuda":
        most = int(SHARE_KEPT * free_memory(device))
    own = likelihood.world.share(len(likelihood.frames))
    # Probe and three fields of every mode, and where each pixel lies.
    needed = (own.stop - own.start) * likelihood.scan.size**2 * (4 * 8 * len(at.probe) + 4)
    if likelihood.free & PARTS or needed > most:
        return Line(likelihood, at)
    n_fields = len(likelihood.frames) * at.probe.numel()
    alone = likelihood.world.size == 1 and likelihood.free == {"object_"}
    # Patterns that are larger than the GPU are brought there step by step, which no graph does.
    stays = device.type == "cuda" and isinstance(likelihood.scan.patterns, Tensor)
    return RecordedLine(likelihood, at) if alone and stays and n_fields <= MOST_FIELDS else KeptLine(likelihood, at)
