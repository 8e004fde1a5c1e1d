"""The acquisition: one scan as measured, in one set of units."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from ptycho.base.arrays import Mask, Object, Patches, Patterns, Positions, Probe
from ptycho.optics.geometry import Geometry

Quantity = Literal["counts", "amplitude"]


@dataclass(frozen=True, eq=False)
class Acquisition:
    """A scan: diffraction patterns at known positions, and a guess of the probe.

    Counts of a pattern are ``patterns`` when ``quantity`` is "counts" and ``(count_scale * patterns) ** 2`` when it
    is "amplitude". Patterns keep the dtype of their file and are never copied per group.

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
            patterns=self.patterns[indices],
            positions=self.positions[indices],
            labels=None if self.labels is None else self.labels[indices],
            indexes=None if self.indexes is None else self.indexes[indices],
        )

    def counts(self, indices: Int[ndarray, " position"] | slice = slice(None)) -> Float32[ndarray, "position y x"]:
        """Return the patterns of ``indices`` in counts, float32."""
        patterns = self.patterns[indices].astype(np.float32)
        return patterns if self.quantity == "counts" else np.square(np.float32(self.count_scale) * patterns)

    def counts_per_frame(self) -> Float32[ndarray, " position"]:
        """Return the total counts of every frame over its trusted pixels, in float64 sums, frame by frame."""
        totals = [
            float(self.counts(slice(i, i + 1))[0][self.mask].sum(dtype=np.float64)) for i in range(self.n_positions)
        ]
        return np.asarray(totals, dtype=np.float32)
