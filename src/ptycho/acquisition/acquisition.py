"""The acquisition: one scan as measured, in one set of units."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Float64, Int
from numpy import ndarray

from ptycho.base.arrays import Mask, Object, Patches, Patterns, Positions, Probe
from ptycho.base.blocks import blocks
from ptycho.base.mapped import rows_of
from ptycho.optics.geometry import Geometry

Quantity = Literal["counts", "amplitude"]
CACHED_PIXELS = 2**18  # pixels that are summed at a time: their doubles fit into a processor's cache


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over all frames.

    Attributes
    ----------
    mean_pattern
        (y, x) counts, all pixels; zero where the detector can't be trusted.
    frame_counts
        (position,) counts over the trusted pixels.
    """

    mean_pattern: Float64[ndarray, "y x"]
    frame_counts: Float64[ndarray, " position"]


@dataclass(frozen=True, eq=False)
class Acquisition:
    """A scan: diffraction patterns at known positions, and a guess of the probe.

    Counts of a pattern are ``patterns`` when ``quantity`` is "counts" and ``(count_scale * patterns) ** 2`` when it
    is "amplitude". Patterns keep the dtype of their file and are never copied per group; they may lie in a file that is
    mapped, and whatever looks at all of them does so a block at a time (`ptycho.base.blocks`).

    Attributes
    ----------
    patterns
        (position, y, x), zero frequency at index N // 2; counts, or amplitude in sqrt(counts) / count_scale.
    positions
        (position, 2) float64, (y, x) in object pixels: the object pixel that lands on patch index N // 2.
    probe
        (mode, y, x) complex64 in sqrt(counts): sum(abs(probe) ** 2) is the counts of a frame behind a transparent
        object when the file's probe was calibrated, and a guess up to a factor when it was not.
    mask
        (y, x) bool, True where the detector pixel can be trusted.
    quantity, count_scale
        What ``patterns`` holds; decided once, by the reader.
    origin
        Short statement of how the reader decided ``quantity`` and ``count_scale``.
    object_
        True object of a simulation or a reference, complex64 (height, width); positions index its pixels.
    labels
        True patch of every position, complex64 (position, y, x), where the file brings them: the position itself on
        index N // 2, between pixels where it lies between pixels.
    indexes
        (position,) number that other files of the scan know each frame by, where files number them.
    geometry
        Energy and lengths in metres, where the file or the user stated any.
    notes
        What the reader decided or guessed, each a sentence.
    """

    patterns: Patterns
    positions: Positions
    probe: Probe
    mask: Mask
    quantity: Quantity
    count_scale: float
    origin: str
    object_: Object | None = None
    labels: Patches | None = None
    indexes: Int[ndarray, " position"] | None = None
    geometry: Geometry | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_positions(self) -> int:
        """Number of scan positions."""
        return len(self.positions)

    @property
    def size(self) -> int:
        """Side N of a pattern, px."""
        return int(self.patterns.shape[-1])

    @property
    def frame_indexes(self) -> Int[ndarray, " position"]:
        """Number that other files know each frame by; counted from 0 where no file said one."""
        return np.arange(self.n_positions) if self.indexes is None else self.indexes

    def part(self, indices: Int[ndarray, " position"]) -> "Acquisition":
        """Return the scan with some of its positions only, in the order of ``indices``."""
        return replace(
            self,
            patterns=rows_of(self.patterns, indices),
            positions=self.positions[indices],
            labels=None if self.labels is None else self.labels[indices],
            indexes=None if self.indexes is None else self.indexes[indices],
        )

    def seen_again(self, **changes: Any) -> "Acquisition":
        """Return the scan with parts replaced that its `totals` do not depend on: they are not made again."""
        made = replace(self, **changes)
        if "totals" in vars(self):
            vars(made)["totals"] = self.totals
        return made

    def counts(self, indices: Int[ndarray, " position"] | slice = slice(None)) -> Float32[ndarray, "position y x"]:
        """Return the patterns of ``indices`` in counts, float32."""
        return self._counts(rows_of(self.patterns, indices))

    def counts_per_frame(self) -> Float32[ndarray, " position"]:
        """Return the total counts of every frame over its trusted pixels, summed in float64."""
        return self.totals.frame_counts.astype(np.float32)

    @cached_property
    def totals(self) -> Totals:
        """Sums over all frames, which are walked once, in float64."""
        size = self.size
        step = max(1, CACHED_PIXELS // size**2)
        total, counts, trusted = np.zeros(size**2), np.empty(self.n_positions), self.mask.ravel().astype(np.float64)
        for rows, block in blocks(self.patterns):
            for some in range(0, len(block), step):
                few = slice(some, some + step)
                frames = self._counts(block[few]).reshape(-1, size**2).astype(np.float64)
                total += np.ones(len(frames)) @ frames
                counts[rows][few] = frames @ trusted
        return Totals((total * trusted).reshape(size, size) / self.n_positions, counts)

    def _counts(self, patterns: Patterns) -> Float32[ndarray, "position y x"]:
        values = patterns.astype(np.float32)
        return values if self.quantity == "counts" else np.square(np.float32(self.count_scale) * values)
