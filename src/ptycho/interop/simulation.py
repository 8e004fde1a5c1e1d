"""Measure a given object at given positions, with the numbers that older clients expect of a simulated scan."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.scan_arrays import positions_yx
from ptycho.assembly.bilinear import cut
from ptycho.base.errors import DataError
from ptycho.interop.raw_data import ScanData
from ptycho.optics.intensity import CountRule
from ptycho.optics.probe import probe_modes
from ptycho.optics.propagate import expected_counts

BLOCK = 64  # patterns; keeps the working memory to tens of MB

S = TypeVar("S", bound=ScanData)


def simulate_scan(
    kind: type[S],
    xcoords: NDArray[Any],
    ycoords: NDArray[Any],
    probeGuess: NDArray[Any],
    objectGuess: NDArray[Any],
    scan_index: NDArray[Any] | None = None,
    *,
    nphotons: float,
    rng: np.random.Generator,
) -> S:
    """Return the scan that a photon-counting detector would record: n_j ~ Poisson(s^2 sum_m |F[P_m O_j]|^2).

    The patch O_j is cut by bilinear interpolation, its index N / 2 at the position, zero beyond the object. s is such
    that a frame holds ``nphotons`` counts on average. ``diff3d`` is sqrt(n) / s, float32, in the unit of the
    probe; ``norm_Y_I`` is s; ``Y`` holds the patches O_j themselves, without the probe.

    Parameters
    ----------
    kind
        Class of the scan: `ScanData`, or the one that a door offers.
    xcoords, ycoords
        Columns and rows, px, (n,).
    probeGuess
        (N, N), or (mode, N, N) whose counts add.
    objectGuess
        (height, width) complex.
    scan_index
        (n,); zeros when left out.
    nphotons
        Mean counts of a frame.
    rng
        Source of the noise.

    Raises
    ------
    DataError
        Arrays disagree, or no light reaches the detector.
    """
    positions, probe = positions_yx(xcoords, ycoords), probe_modes(probeGuess)
    if len(positions) == 0:
        raise DataError("found no positions, expected one or more; give xcoords and ycoords, px")
    if objectGuess.ndim != 2:
        raise DataError(f"found objectGuess of shape {objectGuess.shape}, expected (height, width); give one layer")
    patches = cut(objectGuess.astype(np.complex64), positions, probe.shape[-1])
    blocks = [patches[start : start + BLOCK] for start in range(0, len(patches), BLOCK)]
    expected = np.concatenate([expected_counts(probe, block) for block in blocks]).astype(np.float64)
    energy = float(expected.sum(axis=(1, 2)).mean())
    if not energy > 0:
        raise DataError("found no light on the detector, expected some; give positions inside the object, and a probe")
    scale = float(np.sqrt(nphotons / energy))
    counts = rng.poisson(scale**2 * expected)
    raw = kind(
        xcoords,
        ycoords,
        xcoords,
        ycoords,
        (np.sqrt(counts) / scale).astype(np.float32),
        probeGuess,
        np.zeros(len(positions), np.int64) if scan_index is None else scan_index,
        objectGuess,
        Y=patches,
        norm_Y_I=scale,
    )
    raw.nphotons = float(counts.sum(axis=(1, 2)).mean())
    raw.rule = CountRule("amplitude", scale, "amplitude: simulated as counts, divided by the scale")
    return raw
