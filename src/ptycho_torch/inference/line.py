"""The likelihood along a line: what was transformed once serves the curvature, every step, and the next line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Complex64, Float32, Float64
from torch import Tensor

from ptycho_torch.base.devices import free_memory
from ptycho_torch.inference.captured import Replayed
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.frame_probes import PARTS
from ptycho_torch.inference.likelihood import Changed, Chunk, Likelihood, Seen, Value
from ptycho_torch.inference.pages import Canvas, Judged, Lit, Number, Pixels
from ptycho_torch.physics.propagation import surrounding

# Bytes of fields that are kept from one iteration to the next, and on a GPU the share of its free memory.
MOST_KEPT, SHARE_KEPT = 2**29, 0.5
# Arrays of the size of a chunk's fields that a graph holds in between, at most.
HELD = 8
# Canvases that it holds, at most.
CANVASES = 16

Fields = Complex64[Tensor, "frame mode y x"]
# How far to go; the sums that the likelihood has told there, the deviance of pixels held out, and the gradient.
Told = tuple[Float64[Tensor, ""], Float64[Tensor, "6"], Float32[Tensor, " pixel"], Estimate]


class Line:
    """The likelihood along a line in all that is free: fields are made where they are asked for.

    Parameters
    ----------
    likelihood, at
        Where lines begin.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        self._likelihood, self._at = likelihood, at

    def first(self, along: Estimate, gradient: Estimate) -> tuple[float, Estimate, Value]:
        """Go along a direction, that of the line from now on, to where a parabola has its vertex.

        The parabola has the slope of the objective, whose ``gradient`` where lines begin is given, and the Fisher
        curvature. Returned are the length, negative where the objective rises, the estimate so far along, and what the
        likelihood says of it.
        """
        self._along = along
        slope = gradient.dot(along)
        length = float(_vertex(slope, torch.full_like(slope, self._likelihood.curvature(self._at, along))))
        return length, *self.value(length)

    def value(self, length: float) -> tuple[Estimate, Value]:
        """Return the estimate so far along, and what the likelihood says of it."""
        at = self._at.plus(length, self._along)
        return at, self._likelihood(at)

    def go(self, at: Estimate) -> None:
        """Let lines begin at the estimate whose value was asked for last."""
        self._at = at


@dataclass
class _Kept:
    """Of a chunk: where it is cut and what lights it, and fields on the detector.

    ``field`` is where the value was asked for last, and ``change`` how it changes along the line.
    """

    chunk: Chunk
    lit: Lit
    field: Fields
    change: Fields


class KeptLine(Line):
    """The likelihood along a line on which no probe changes: fields on the detector go along straight lines too.

    psi(t) = psi + t F[P d]: one transform of a frame a line, and one back for the gradient of every step. Fields move
    in place, from where a value was asked for to where the next one is.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        super().__init__(likelihood, at)
        around = surrounding(at.probe)
        self._kept = [
            _Kept(chunk, Lit(chunk.look, probes.fields * around), field, field)
            for chunk, probes, _, field in likelihood.fields(at)
        ]
        # How far along the line fields are.
        self._gone = 0.0

    def first(self, along: Estimate, gradient: Estimate) -> tuple[float, Estimate, Value]:
        """Go along a direction as `Line.first` does: a device is waited for once."""
        if self._gone:
            self._return()
        self._along = along
        length, sums, outside, there = self._ask(gradient)
        self._gone, *numbers = torch.cat([length[None], sums]).tolist()
        return self._gone, self._at.plus(self._gone, along), self._likelihood.read(numbers, outside, there)

    def _ask(self, gradient: Estimate) -> Told:
        return _told(self._likelihood, self._kept, gradient, self._at, self._along)

    def value(self, length: float) -> tuple[Estimate, Value]:
        """Return the estimate so far along, and what the likelihood says of it."""
        at = self._at.plus(length, self._along)
        further = torch.full((), length - self._gone, device=at.object_.device)
        self._gone = length
        return at, self._likelihood.value(at, _seen(self._likelihood, self._kept, further))

    def go(self, at: Estimate) -> None:
        """Let lines begin at the estimate whose value was asked for last."""
        super().go(at)
        self._gone = 0.0

    def _return(self) -> None:
        """Bring fields back to where the line began: they are made anew, for from afar they would not come exactly."""
        for kept, (*_, field) in zip(self._kept, self._likelihood.fields(self._at), strict=True):
            kept.field.copy_(field)


class RecordedLine(KeptLine):
    """`KeptLine` on a GPU where the object alone is free: to the vertex and back to the gradient is one launch."""

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        super().__init__(likelihood, at)
        self._still = still = at.times(0.0)
        kept = self._kept

        # No method: a line that holds itself would keep its memory when it is done with.
        def told(gradient: Canvas, object_: Canvas, along: Canvas) -> Told:
            slope, direction = (replace(still, object_=part) for part in (gradient, along))
            return _told(likelihood, kept, slope, replace(at, object_=object_), direction)

        self._replayed = Replayed(told, "the likelihood along a line")

    def _ask(self, gradient: Estimate) -> Told:
        length, sums, outside, there = self._replayed(gradient.object_, self._at.object_, self._along.object_)
        return length, sums, outside.clone(), replace(self._still, object_=there.object_.clone())


def _told(likelihood: Likelihood, kept: list[_Kept], gradient: Estimate, at: Estimate, along: Estimate) -> Told:
    """Return the length of a direction to the vertex, and what the likelihood has told there: nothing is waited for."""
    length = _vertex(gradient.dot(along), likelihood.bend(at, along, _changes(likelihood, kept, along)))
    # As single precision has it, which fields have: the object goes no other way.
    further = length.to(torch.float32)
    there = {name: torch.addcmul(at.parts[name], along.parts[name], further) for name in likelihood.free}
    return length, *likelihood.told(replace(at, **there), _seen(likelihood, kept, further))


def _vertex(slope: Float64[Tensor, ""], curvature: Float64[Tensor, ""]) -> Float64[Tensor, ""]:
    """Return where a parabola has its vertex, 1 down the slope where it has none."""
    return torch.where(curvature > 0, -slope / curvature, -slope.sign())


def _changes(likelihood: Likelihood, kept: list[_Kept], along: Estimate) -> Iterator[Changed]:
    for each in kept:
        yield each.chunk, partial(_changed, likelihood, each, along)


def _changed(
    likelihood: Likelihood, kept: _Kept, along: Estimate, haze: Number, haze_change: Number, pixels: Pixels
) -> Tensor:
    kept.change, bent = likelihood.pages.changed(kept.lit, along.object_, kept.field, haze, haze_change, pixels)
    return bent


def _seen(likelihood: Likelihood, kept: list[_Kept], further: Float32[Tensor, ""]) -> Iterator[Seen]:
    for each in kept:
        yield each.chunk, partial(_judged, likelihood, each, further)


def _judged(
    likelihood: Likelihood,
    kept: _Kept,
    further: Float32[Tensor, ""],
    gradient: Estimate,
    haze: Number,
    pixels: Pixels,
    each: bool,
) -> Judged:
    go = kept.change, further
    if "object_" in likelihood.free:
        return likelihood.pages.judged_further(kept.lit, kept.field, *go, haze, pixels, gradient.object_, each=each)
    return likelihood.pages.judged(kept.field, go, haze, pixels, each=each)[0]


def line_from(likelihood: Likelihood, at: Estimate) -> Line:
    """Return the lines that begin at an estimate; fields are kept where the probe is fixed and there is room.

    On one GPU, where the object alone is free, what it is asked is recorded.
    """
    device = at.object_.device
    most = MOST_KEPT
    if device.type == "cuda":
        most = int(SHARE_KEPT * free_memory(device))
    own = likelihood.world.share(len(likelihood.frames))
    frame = likelihood.scan.size**2 * 8 * len(at.probe)
    # Probe and three fields of every mode, for while a change is made the last one is there; where each pixel lies.
    needed = (own.stop - own.start) * (4 * frame + 4 * likelihood.scan.size**2)
    if likelihood.free & PARTS or needed > most:
        return Line(likelihood, at)
    held = HELD * frame * max((len(chunk.frames) for chunk in likelihood.chunks), default=0)
    held += CANVASES * at.object_.nbytes
    alone = likelihood.world.size == 1 and likelihood.free == {"object_"}
    # Patterns that are larger than the GPU are brought there step by step, which no graph does.
    stays = device.type == "cuda" and isinstance(likelihood.scan.patterns, Tensor)
    return RecordedLine(likelihood, at) if alone and stays and needed + held <= most else KeptLine(likelihood, at)
