"""A canvas larger than memory, field by field: each is solved as a small scan is, and all become one object."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex64, Int64
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.bilinear import whole_window
from ptycho.assembly.fields import Canvas, Field, fields_of
from ptycho.assembly.reconstruction import REFINED, Reconstruction
from ptycho.base.errors import ConfigError
from ptycho.base.watching import Aside
from ptycho.config.refinement import Refinement
from ptycho.metrics.self_check import SelfCheck
from ptycho_torch.inference.likelihood import Value
from ptycho_torch.inference.result import Clock, Result, iterations_of, reconstruction_of
from ptycho_torch.inference.search import margin
from ptycho_torch.inference.self_check import self_check
from ptycho_torch.inference.solve import Solved, Solver
from ptycho_torch.physics.forward import Placement

logger = logging.getLogger(__name__)

# Pixels of a canvas that is solved in one piece at most: the self-check needs some hundred images of its size.
ONE_PIECE = 2**22
# Largest side of a field, px, without the strips that it shares with its neighbours.
SIDE = 1536
# Frames that a field has at least, for every process and every pattern that the network sees together.
LEAST = 8


@dataclass(frozen=True)
class Finished:
    """What became of all frames of a solver, what the counts say of it, and what it says of itself."""

    solved: Solved
    value: Value
    check: SelfCheck | None


def finish(solver: Solver, clock: Clock, *, check: bool) -> Finished:
    """Stitch what the network predicts for all frames of a solver, let iterations finish it, and judge it."""
    every = torch.arange(len(solver.scan), device=solver.scan.positions.device)
    sums, halves = solver.sums_with_halves(every, wanted=check)
    clock.lap("predict and stitch")
    solved = solver.solve(sums, every)
    clock.lap("refine")
    value = solver.likelihood(every, solved.placement)(solved.end)
    clock.lap("compare")
    return Finished(solved, value, self_check(solver, solved, every, halves) if check else None)


def in_fields(
    solver: Solver,
    acquisition: Acquisition,
    origin: Int64[Tensor, "2"],
    clock: Clock,
    *,
    check: bool,
    folder: Path | None,
) -> Result:
    """Return what a solver makes of its scan in fields that overlap by a patch.

    The one in the middle comes first and is solved and checked as a small scan is. What it finds of all frames holds in
    all fields: the scale of the object, the probe, the background, and how far the network is trusted. Object,
    positions and flux are found in each. Without iterations the object of a network that sees each pattern alone is
    that of one canvas: every field has all frames whose light reaches it. After iterations, which leave the phase of
    each field free, it is turned to that of its neighbours, and fades into them. Of several processes the first has the
    canvas, and those of the others are empty.

    Parameters
    ----------
    solver, acquisition, origin
        The whole scan, and the position (y, x) of the first pixel of its canvas, px.
    check
        Whether the field in the middle shall say how far it can be trusted.
    folder
        Where the canvas lies, in files without names; None to have it in memory.

    Raises
    ------
    ConfigError
        The probe shall change from frame to frame, which is not found field by field.
    """
    if solver.refinement.n_variations:
        raise ConfigError(
            f"found a canvas of {_words(solver.placement)} and probe_variations {solver.refinement.n_variations}; "
            "expected none where a canvas is solved in fields; leave them out, or reconstruct a part of the scan"
        )
    placement = solver.placement
    least = LEAST * solver.world.size * solver.pinn.channels
    fields = fields_of(placement.corners.cpu().numpy(), placement.size, placement.object_shape, SIDE, least)
    logger.info("the canvas of %s is solved in %d fields", _words(placement), len(fields))
    whole = _Whole(solver, acquisition, origin.cpu().numpy(), folder)
    for number, field in enumerate(fields, start=1):
        part, corner = _part(solver, field)
        if number > 1:
            part = replace(part, watcher=Aside(solver.watcher, f"field {number} of {len(fields)}"))
        done = finish(part, clock, check=check and number == 1)
        whole.take(field, corner.cpu().numpy(), part.placement, done)
        if number == 1:
            solver = _informed(solver, done.solved)
    return whole.result(clock)


def _part(solver: Solver, field: Field) -> tuple[Solver, Int64[Tensor, "2"]]:
    """Return the solver of a field, and where its canvas begins on that of the scan."""
    frames = torch.from_numpy(field.frames).to(solver.scan.positions.device)
    space, size = margin(solver.refinement), solver.placement.size
    corners = solver.placement.corners[frames]
    corner = corners.amin(dim=0) - space
    height, width = (corners.amax(dim=0) - corner + size + space).tolist()
    placement = Placement(corners - corner, solver.placement.remainder[frames], (height, width), size)
    return replace(solver, scan=solver.scan.part(frames), placement=placement), corner


def _informed(solver: Solver, middle: Solved) -> Solver:
    """Return the solver of the fields around one, which know what it found of all frames."""
    rest = replace(solver.refinement, probe=None, background=None, n_modes=1)
    if (rest.positions, rest.flux) == (None, None) and (middle.network_kept or rest.object is None):
        rest = Refinement()
    return replace(solver, refinement=rest, common=middle.end, scale=middle.scale, network_weight=middle.network_weight)


class _Whole:
    """What all fields make together.

    Parameters
    ----------
    solver, acquisition, origin, folder
        As `in_fields` has them.
    """

    def __init__(
        self, solver: Solver, acquisition: Acquisition, origin: Int64[np.ndarray, "2"], folder: Path | None
    ) -> None:
        # What other processes know of a field is the same: one canvas is enough.
        self._leads, n = solver.world.rank == 0, len(solver.scan)
        shape, folder = (solver.placement.object_shape, folder) if self._leads else ((0, 0), None)
        self._refinement, self._acquisition, self._origin = solver.refinement, acquisition, origin
        # Without iterations what was stitched is what comes of it.
        names = ("stitched", "final") if solver.refinement.works else ("final",)
        self._images = {
            name: (Canvas(shape, np.complex64, folder), Canvas(shape, np.float32, folder)) for name in names
        }
        self._moved, self._flux = np.zeros((n, 2)), np.ones(n)
        self._judged: list[tuple[int, float, float, float | None]] = []
        self._first: tuple[Finished, Reconstruction] | None = None

    def take(self, field: Field, corner: Int64[np.ndarray, "2"], placement: Placement, done: Finished) -> None:
        """Add a field whose canvas begins at a corner on that of the scan."""
        solved, origin = done.solved, torch.from_numpy(self._origin + corner)
        ends = {
            "stitched": (solved.start, solved.start_light, {}),
            "final": (solved.end, solved.light, solved.history),
        }
        # Only iterations leave the phase free: what the network says, or was left as it said it, is not turned.
        turned = bool(solved.history) and not solved.network_kept
        for name in self._images:
            at, light, history = ends[name]
            made = reconstruction_of(at, light, origin, self._acquisition, history, placement, field.frames)
            if self._leads:
                self._add(name, field, corner, made, turned=turned and name == "final")
        if self._first is None:
            self._first = done, made
        mine = field.frames[field.owned]
        if made.corrections is not None:
            self._moved[mine] = (made.corrections + (origin.numpy() - made.origin))[field.owned]
        if made.flux is not None:
            self._flux[mine] = made.flux[field.owned] * (_power(made.probe) / _power(self._first[1].probe))
        judged = done.value.deviance, done.value.r_factor, solved.held_out_deviance
        self._judged.append((len(field.frames), *judged))

    def _add(
        self, name: str, field: Field, corner: Int64[np.ndarray, "2"], made: Reconstruction, *, turned: bool
    ) -> None:
        """Add an object and its light to the canvases, turned to what lies there where its phase is free."""
        rows, columns = field.window
        top, left = (int(part.start - first) for part, first in zip(field.window, corner, strict=True))
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        weight = field.weight
        image = weight * whole_window(made.object_, top, left, shape)
        canvas, light = self._images[name]
        if turned:
            shared = np.vdot(image, canvas.at(field.window))
            image *= shared / abs(shared) if shared else 1
        canvas.add(field.window, image)
        light.add(field.window, weight * whole_window(made.coverage, top, left, shape))

    def result(self, clock: Clock) -> Result:
        """Return what all fields made."""
        assert self._first is not None
        done, middle = self._first
        solved, acquisition, drift, flux = done.solved, self._acquisition, self._moved.mean(axis=0), self._flux.mean()

        def whole(name: str) -> Reconstruction:
            image, light = self._images[name]
            return replace(
                middle,
                object_=image.array(),
                coverage=light.array(),
                origin=self._origin.astype(np.float64),
                positions=acquisition.positions,
                indexes=acquisition.indexes,
                **dict.fromkeys(REFINED),
            )

        final = replace(
            whole("final"),
            origin=self._origin - drift,
            probe=(middle.probe * flux**0.5).astype(np.complex64),
            corrected_positions=None
            if middle.corrected_positions is None
            else acquisition.positions + (self._moved - drift),
            flux=None if middle.flux is None else (self._flux / flux).astype(np.float32),
            background=middle.background,
        )
        stitched = final
        if "stitched" in self._images:
            stitched = replace(whole("stitched"), history={}, probe=solved.start.probe.cpu().numpy())
        return Result(
            stitched,
            final,
            self._mean(1),
            self._mean(3),
            self._mean(2),
            clock.seconds,
            iterations=iterations_of(solved.history, self._refinement),
            stopped_early=solved.stopped_early,
            network_weight=solved.network_weight,
            network_kept=solved.network_kept,
            check=done.check,
            field=middle,
        )

    def _mean(self, which: int) -> float | None:
        """Return the mean of what the fields say of themselves, each with the weight of its frames."""
        told = [(judged[0], judged[which]) for judged in self._judged if judged[which] is not None]
        return sum(n * value for n, value in told) / sum(n for n, _ in told) if told else None


def _power(probe: Complex64[np.ndarray, "mode y x"]) -> float:
    return float(np.square(np.abs(probe)).sum())


def _words(placement: Placement) -> str:
    height, width = placement.object_shape
    return f"{height} x {width} px"
