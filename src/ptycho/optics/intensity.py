"""Amplitude and counts: what patterns hold, decided by the patterns themselves, and the older normalisations."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Shaped
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.arrays import Mask
from ptycho.base.blocks import blocks
from ptycho.base.errors import DataError
from ptycho.base.mapped import rows_of

logger = logging.getLogger(__name__)

ASSUMED_NPHOTONS = 1e9
SAMPLE_FRAMES = 64
SAMPLE_PIXELS = 2**22


@dataclass(frozen=True)
class CountRule:
    """How patterns become counts: as they are, or ``(count_scale * patterns) ** 2``; ``origin`` says why."""

    quantity: Literal["counts", "amplitude"]
    count_scale: float
    origin: str


def frame_energy(patterns: Shaped[ndarray, "position y x"], mask: Mask | None = None) -> Float64[ndarray, " position"]:
    """Return ``sum_{y,x} A^2`` of every pattern over its trusted pixels, summed in float64 a few frames at a time."""
    energy = np.empty(len(patterns))
    trusted = np.float64(1) if mask is None else mask.astype(np.float64)
    for rows, block in blocks(patterns):
        values = block.astype(np.float64) * trusted
        energy[rows] = np.einsum("nyx,nyx->n", values, values)
    return energy


def normalisation(mean_energy: float, size: int) -> float:
    """Return the factor that brings amplitudes to a mean energy of N^2 / 4: ``sqrt((N / 2)^2 / mean_energy)``.

    Raises
    ------
    DataError
        The energy is zero.
    """
    if not mean_energy > 0:
        raise DataError("found patterns without any counts, expected light; leave these frames out")
    return float(np.sqrt((size / 2) ** 2 / mean_energy))


def intensity_scale(nphotons: float, size: int) -> float:
    """Return the older scale from normalised amplitude to sqrt(counts), ``sqrt(nphotons) / (N / 2)``.

    Examples
    --------
    >>> intensity_scale(1e6, 64)
    31.25
    """
    return float(np.sqrt(nphotons) / (size / 2))


def count_rule(
    patterns: Shaped[ndarray, "position y x"], mask: Mask, labelled: float | None, given: float | None
) -> CountRule:
    """Decide from the patterns whether they are counts or amplitude, and the scale between the two.

    Whole numbers above 1 are counts. Otherwise, patterns whose squares are whole multiples of the smallest square are
    amplitudes of whole counts, and that square is one count; where the squares are whole numbers, 1 is. Otherwise they
    are amplitudes whose mean counts of a frame are ``labelled``, else ``given``, else 1e9 by assumption. A label that
    disagrees with counts so found by more than 5 % is reported and not used.

    Parameters
    ----------
    patterns
        (position, y, x), real, finite, not negative, not all zero.
    mask
        Trusted pixels; others are not looked at.
    labelled, given
        Mean counts of a frame, as the file says and as the user says.
    """
    values = _sample(patterns, mask)
    rule = _counted(patterns.dtype, values)
    if rule is None:
        return _labelled(patterns, mask, labelled, given)
    if labelled is not None:
        found = float(np.mean(frame_counts(patterns, mask, rule)))
        if abs(found - labelled) > 0.05 * labelled:
            logger.warning(
                "label in a file disagreeing with the counts in it: nphotons says %.6g, the frames hold %.6g on "
                "average; the counts are used",
                labelled,
                found,
            )
    return rule


def quantity(patterns: Shaped[ndarray, "position y x"], mask: Mask) -> Literal["counts", "amplitude"]:
    """Say what patterns hold, as ``count_rule`` does, without asking for a scale."""
    rule = _counted(patterns.dtype, _sample(patterns, mask))
    return "amplitude" if rule is None else rule.quantity


def frame_counts(
    patterns: Shaped[ndarray, "position y x"], mask: Mask, rule: CountRule
) -> Float64[ndarray, " position"]:
    """Return the counts of every frame over its trusted pixels under ``rule``."""
    if rule.quantity == "amplitude":
        return rule.count_scale**2 * frame_energy(patterns, mask)
    return np.concatenate([block[:, mask].sum(axis=1, dtype=np.float64) for _, block in blocks(patterns)])


def _sample(patterns: NDArray[Any], mask: Mask) -> NDArray[np.float64]:
    """Return the positive values of frames spread over the scan, their number bounded."""
    n_frames = min(SAMPLE_FRAMES, max(1, SAMPLE_PIXELS // mask.size), len(patterns))
    frames = np.linspace(0, len(patterns) - 1, n_frames).astype(int)
    values = rows_of(patterns, frames)[:, mask].astype(np.float64)
    return values[values > 0]


def _counted(dtype: np.dtype[Any], values: NDArray[np.float64]) -> CountRule | None:
    """Return the rule that whole numbers prove, or None where nothing is whole."""
    if dtype.kind in "iu":
        return CountRule("counts", 1.0, f"counts: the file holds whole numbers ({dtype})")
    if values.size == 0:
        return None
    if bool((values == np.rint(values)).all()) and values.max() > 1:
        return CountRule("counts", 1.0, f"counts: every value looked at is a whole number ({dtype})")
    epsilon = float(np.finfo(dtype).eps)
    if _whole_multiples(values, float(values.min()), epsilon):
        logger.warning(
            "patterns are whole multiples of %.6g, as counts divided by a number are; they are taken for amplitudes: "
            "store the counts themselves if that is wrong",
            values.min(),
        )
        return None
    squares = np.square(values)
    smallest = float(squares.min())
    if _whole_multiples(squares, smallest, epsilon) and abs(smallest - 1) > 8 * epsilon:
        # The smallest value carries its own rounding; the ratio over all pixels does not.
        scale = float(np.sqrt(np.rint(squares / smallest).sum() / squares.sum()))
        return CountRule("amplitude", scale, "amplitude: squares are whole multiples of the smallest, one count")
    if _whole_multiples(squares, 1.0, epsilon):
        return CountRule("amplitude", 1.0, "amplitude: squares are whole numbers, so it is sqrt(counts)")
    return None


def _whole_multiples(values: NDArray[np.float64], unit: float, epsilon: float) -> bool:
    """Say whether all values are whole multiples of ``unit`` to rounding, at least two of them different."""
    # What leaves the range of numbers is no multiple; it falls out below with those too large to tell.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        multiples = values / unit
    # Rounding of value and unit grows with the multiple; beyond a tenth it could hide a fraction.
    tolerance = 1e-3 + 4 * epsilon * multiples
    tested = tolerance < 0.1
    multiples, tolerance = multiples[tested], tolerance[tested]
    whole = np.rint(multiples)
    if whole.size == 0 or whole.min() < 1 or whole.max() == whole.min():
        return False
    return bool((np.abs(multiples - whole) < tolerance).all())


def _labelled(patterns: NDArray[Any], mask: Mask, labelled: float | None, given: float | None) -> CountRule:
    energy = float(np.mean(frame_energy(patterns, mask)))
    if labelled is not None:
        nphotons, source = labelled, "as the file says"
    elif given is not None:
        nphotons, source = given, "as given"
    else:
        nphotons, source = ASSUMED_NPHOTONS, "assumed"
        logger.warning(
            "patterns are amplitudes of unknown scale: %.0e counts a frame are assumed; give nphotons if you know it",
            ASSUMED_NPHOTONS,
        )
    if not energy > 0:
        raise DataError("found no counts in any trusted pixel, expected light; check the patterns and bad_pixels")
    scale = float(np.sqrt(nphotons / energy))
    return CountRule("amplitude", scale, f"amplitude: scaled to {nphotons:.6g} counts a frame on average, {source}")
