"""A scan in a few lines: what ``ptycho inspect`` prints."""

from dataclasses import dataclass

import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.statistics import centre_of_mass, statistics
from ptycho.optics.geometry import Geometry


@dataclass(frozen=True)
class Summary:
    """The figures of a scan; ``dataclasses.asdict`` makes it ready for JSON.

    Attributes
    ----------
    n_positions, size, dtype
        Frames, side of a pattern (px), dtype of the stored patterns.
    quantity, count_scale, origin
        What the patterns hold and how that was decided.
    counts_min, counts_median, counts_max
        Counts of a frame over its trusted pixels.
    centre
        (y, x) centre of mass of the mean pattern, px.
    n_bad_pixels
        Detector pixels that can't be trusted.
    extent
        (y, x) distance between the outermost positions, px.
    n_duplicates
        Positions that repeat another one.
    step, overlap, gap
        Distance of neighbours (px), linear overlap as a fraction of the probe diameter, and the
        distance between neighbouring probes that no light reaches (px).
    probe_modes, probe_diameter, probe_power
        Number of modes, diameter (px), ``sum|P|^2`` (counts when the probe is calibrated).
    object_shape
        (height, width) of a true or reference object; None without one.
    geometry
        Energy (eV) and lengths (m), where file or user state any.
    notes
        What the reader decided or guessed.
    """

    n_positions: int
    size: int
    dtype: str
    quantity: str
    count_scale: float
    origin: str
    counts_min: float
    counts_median: float
    counts_max: float
    centre: tuple[float, float]
    n_bad_pixels: int
    extent: tuple[float, float]
    n_duplicates: int
    step: float
    overlap: float
    gap: float
    probe_modes: int
    probe_diameter: float
    probe_power: float
    object_shape: tuple[int, int] | None
    geometry: Geometry | None
    notes: tuple[str, ...]


def summary(acquisition: Acquisition) -> Summary:
    """Return the figures of a scan, in one pass over its frames."""
    seen = statistics(acquisition)
    height, width = np.ptp(acquisition.positions, axis=0)
    shape = None if acquisition.object_ is None else acquisition.object_.shape
    return Summary(
        n_positions=acquisition.n_positions,
        size=acquisition.size,
        dtype=str(acquisition.patterns.dtype),
        quantity=acquisition.quantity,
        count_scale=acquisition.count_scale,
        origin=acquisition.origin,
        counts_min=float(seen.frame_counts.min()),
        counts_median=float(np.median(seen.frame_counts)),
        counts_max=float(seen.frame_counts.max()),
        centre=centre_of_mass(seen.mean_pattern),
        n_bad_pixels=int((~acquisition.mask).sum()),
        extent=(float(height), float(width)),
        n_duplicates=seen.n_duplicates,
        step=seen.step,
        overlap=seen.overlap,
        gap=seen.gap,
        probe_modes=len(acquisition.probe),
        probe_diameter=seen.diameter,
        probe_power=float(np.square(np.abs(acquisition.probe), dtype=np.float64).sum()),
        object_shape=None if shape is None else (shape[0], shape[1]),
        geometry=acquisition.geometry,
        notes=acquisition.notes,
    )
