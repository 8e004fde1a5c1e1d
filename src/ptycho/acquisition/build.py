"""The one way from loose arrays to an acquisition, shared by readers, doors and clients in memory."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.blocks import extremes
from ptycho.base.errors import DataError
from ptycho.optics.intensity import CountRule, count_rule
from ptycho.optics.probe import probe_modes

logger = logging.getLogger(__name__)

# What no detector counts and no stage reaches (px); beyond, sums and squares leave what numbers can hold.
LARGEST = 1e15
LARGEST_ITEM = 8  # bytes of a number that tensors can hold


def acquisition_from_arrays(
    patterns: NDArray[Any],
    positions: NDArray[Any],
    probe: NDArray[Any],
    *,
    bad_pixels: NDArray[Any] | None = None,
    object_: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    rule: CountRule | None = None,
    labelled: float | None = None,
    nphotons: float | None = None,
) -> Acquisition:
    """Return the acquisition that arrays describe, its quantity decided by the patterns unless it is stated.

    Parameters
    ----------
    patterns
        (n, N, N), (n, N, N, 1) or (N, N, n), zero frequency at index N // 2; kept in their dtype and not copied.
    positions
        (n, 2), (y, x) px: the object pixel that lands on patch index N // 2.
    probe
        (N, N), (N, N, 1) or (mode, N, N), in the unit of the patterns' amplitude (sqrt(counts) when they are counts).
    bad_pixels
        (N, N), true where the detector pixel can't be trusted; None when all can.
    object_
        True or reference object, (height, width).
    labels
        True patch of every position, complex, in a shape that patterns may have; others are left out with a warning,
        because only supervised training asks for them.
    rule
        What the patterns hold, where that is known already.
    labelled, nphotons
        Mean counts of a frame, as the file's label and as the user say; used only where the patterns don't say it.

    Raises
    ------
    DataError
        Shapes disagree, a value isn't finite or is negative, or there is no light at all.
    """
    positions = scan_positions(positions)
    _check_size("positions", positions)
    check_real("patterns", patterns)
    patterns = align_frames(patterns, len(positions))
    lowest, highest = extremes(patterns)
    _require_finite(
        "patterns", lowest, highest, "set them to 0, and mark detector pixels without a value in bad_pixels"
    )
    _require_not_negative(lowest)
    _check_size("patterns", np.array([lowest, highest]))
    if highest == 0:
        raise DataError(f"found {len(patterns)} patterns that are all zero, expected light; check the file's source")
    size = patterns.shape[-1]
    modes = probe_modes(probe)
    if modes.shape[-1] != size:
        raise DataError(
            f"found a probe of {modes.shape[-1]} px and patterns of {size} px, expected one size; resample the probe"
        )
    mask = np.ones((size, size), bool) if bad_pixels is None else ~_flags(bad_pixels, size)
    if rule is None:
        rule = count_rule(patterns, mask, _positive("nphotons", labelled), _positive("nphotons", nphotons))
    _positive("count_scale", rule.count_scale)
    _check_size("patterns times their count_scale", np.array([highest * rule.count_scale]))
    return Acquisition(
        patterns=patterns,
        positions=positions,
        probe=probe_modes(probe, rule.count_scale) if rule.quantity == "amplitude" else modes,
        mask=mask,
        quantity=rule.quantity,
        count_scale=rule.count_scale,
        origin=rule.origin,
        object_=None if object_ is None else _object(object_),
        labels=None if labels is None else usable_labels(labels, len(positions), size),
    )


def scan_positions(positions: NDArray[Any]) -> NDArray[np.float64]:
    """Return positions (n, 2) in double precision, n > 0.

    Raises
    ------
    DataError
        They have another shape, or are not finite real numbers.
    """
    check_real("positions", positions)
    check_finite("positions", positions, "replace them, or leave out the frames that they belong to")
    if positions.ndim != 2 or positions.shape[1] != 2 or len(positions) == 0:
        raise DataError(f"found positions of shape {positions.shape}, expected (n, 2), n > 0; give one (y, x) a frame")
    return positions.astype(np.float64)


def align_frames(patterns: NDArray[Any], n_positions: int) -> NDArray[Any]:
    """Return a view of patterns as (position, y, x), their frame axis found by the number of positions.

    Accepts (n, N, N), (n, N, N, 1) and (N, N, n); where both ends have the length n the first axis wins.

    Raises
    ------
    DataError
        No such axis, or the patterns aren't square.
    """
    found = patterns.shape
    if patterns.ndim == 4 and found[3] == 1:
        patterns = patterns[..., 0]
    if patterns.ndim == 3 and patterns.shape[0] != n_positions and patterns.shape[2] == n_positions:
        patterns = np.moveaxis(patterns, -1, 0)
    if patterns.ndim != 3 or len(patterns) != n_positions:
        raise DataError(
            f"Unable to align diffraction shape {found} with {n_positions} positions: expected (n, N, N), (n, N, N, 1) "
            "or (N, N, n); leave out the frames or positions that have no partner"
        )
    if patterns.shape[1] != patterns.shape[2] or patterns.shape[1] == 0:
        raise DataError(
            f"found patterns of {patterns.shape[1]} x {patterns.shape[2]} px, expected square ones; crop or pad them"
        )
    return patterns


def number(name: str, value: NDArray[Any]) -> float:
    """Return the one number that ``value`` holds.

    Raises
    ------
    DataError
        It holds something else.
    """
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise DataError(f"found {name} of type {value.dtype} and shape {value.shape}, expected one number; correct it")
    return float(value.reshape(()))


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not (np.isfinite(value) and value > 0):
        raise DataError(f"found {name} = {value:g}, expected a finite number above 0; correct it or leave it out")
    return value


def check_real(name: str, array: NDArray[Any]) -> None:
    """Refuse an array of anything but real numbers that tensors can hold; ``name`` is what the message calls it.

    Raises
    ------
    DataError
        With its type.
    """
    if array.dtype.kind not in "iuf":
        raise DataError(f"found {name} of type {array.dtype}, expected real numbers; convert them")
    if array.dtype.itemsize > LARGEST_ITEM:
        raise DataError(f"found {name} of type {array.dtype}, expected real numbers of 64 bits or fewer; convert them")


def check_finite(name: str, array: NDArray[Any], do: str = "replace them") -> None:
    """Refuse real numbers that aren't finite; ``name`` is what the message calls them, ``do`` what it advises.

    Raises
    ------
    DataError
        There is NaN or infinity.
    """
    if array.dtype.kind == "f" and array.size:
        lowest, highest = extremes(array) if array.ndim else (float(array), float(array))
        _require_finite(name, lowest, highest, do)


def _require_finite(name: str, lowest: float, highest: float, do: str) -> None:
    if not np.isfinite([lowest, highest]).all():
        raise DataError(f"found NaN or infinity in {name}, expected finite values; {do}")


def _check_size(name: str, array: NDArray[Any]) -> None:
    found = max(abs(float(array.min())), abs(float(array.max()))) if array.size else 0.0
    if found > LARGEST:
        raise DataError(f"found {name} up to {found:g}, expected at most {LARGEST:g}; correct the file or its units")


def check_not_negative(patterns: NDArray[Any]) -> None:
    """Refuse patterns that are neither counts nor amplitudes.

    Raises
    ------
    DataError
        With the smallest value.
    """
    _require_not_negative(extremes(patterns)[0])


def _require_not_negative(lowest: float) -> None:
    if lowest < 0:
        raise DataError(
            f"found negative values in the patterns (smallest {lowest:g}), expected counts or amplitudes; "
            "set them to 0 and mark pixels without a value in bad_pixels"
        )


def _flags(bad_pixels: NDArray[Any], size: int) -> NDArray[np.bool_]:
    if bad_pixels.shape != (size, size) or bad_pixels.dtype.kind not in "biu":
        raise DataError(
            f"found bad_pixels of shape {bad_pixels.shape} and type {bad_pixels.dtype}, expected "
            f"({size}, {size}) bool; store one flag a detector pixel"
        )
    return bad_pixels.astype(bool)


def _object(array: NDArray[Any]) -> NDArray[np.complex64]:
    if array.ndim != 2 or array.dtype.kind not in "iufc" or 0 in array.shape:
        raise DataError(
            f"found an object of shape {array.shape} and type {array.dtype}, expected (height, width) complex; "
            "give one layer or leave objectGuess out"
        )
    with np.errstate(over="ignore"):
        object_ = array.astype(np.complex64)
    if not np.isfinite(object_).all():
        raise DataError("found NaN or infinity in the object, expected finite values; correct or leave out objectGuess")
    return object_


def usable_labels(array: NDArray[Any], n_positions: int, size: int) -> NDArray[np.complex64] | None:
    """Return true patches (position, N, N) complex64, or None, with a warning, where they are something else."""
    try:
        aligned = align_frames(array, n_positions)
    except DataError:
        aligned = array
    if aligned.dtype.kind != "c" or aligned.shape != (n_positions, size, size) or not np.isfinite(aligned).all():
        logger.warning(
            "found true patches (Y or label) of shape %s and type %s, expected finite complex (%d, %d, %d); they are "
            "left out: correct them to train on them",
            array.shape,
            array.dtype,
            n_positions,
            size,
            size,
        )
        return None
    return aligned.astype(np.complex64, copy=False)
