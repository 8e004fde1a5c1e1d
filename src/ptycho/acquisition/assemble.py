"""From the parts of a scan to the acquisition: frames paired, metres made pixels, a missing probe guessed."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.build import acquisition_from_arrays, align_frames, check_finite, scan_positions
from ptycho.acquisition.orientation import with_turned_patterns
from ptycho.acquisition.parts import WORDS, Parts
from ptycho.base.arrays import Probe
from ptycho.base.blocks import blocks, changed
from ptycho.base.errors import DataError
from ptycho.base.mapped import rows_of
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry, Pair
from ptycho.optics.probe import back_projected_probe, probe_intensity, probe_modes

logger = logging.getLogger(__name__)

SHORT = 0.1  # from end to end; positions that reach less far are metres, since a scan is wider than a tenth of a pixel
CONVERT = "ptycho convert SCAN SCAN.npz"  # what a file can't say is said once, to this verb
GUESSED = "no file brings a probe: it is guessed from the mean pattern, and refining it is needed"
REAL = "the probe is real: its phase is taken for flat; if it is not, refining it is needed (--refine_probe)"


def assemble(parts: Parts, reading: Reading, nphotons: float | None = None, scratch: Path | None = None) -> Acquisition:
    """Return the acquisition that the parts of a scan make, its patterns turned as ``reading`` asks.

    Parameters
    ----------
    parts
        All that the files of the scan hold.
    reading
        Choices of the user.
    nphotons
        Mean counts of a frame, used only when the patterns are amplitudes and nothing else says it.
    scratch
        Folder where large patterns that have to be changed lie in a file; None to have them in memory.

    Raises
    ------
    DataError
        A part is missing or can't be used; the message says what to give.
    """
    parts = _paired(parts, scratch)
    if parts.patterns is None or parts.positions is None:
        present = next((word for name, word in WORDS.items() if getattr(parts, name) is not None), "nothing")
        absent = " and no ".join(name for name in ("patterns", "positions") if getattr(parts, name) is None)
        raise DataError(
            f"found {present} and no {absent}, expected both; give the other file too: {CONVERT} --companions FILE"
        )
    patterns = align_frames(parts.patterns, len(parts.positions))
    geometry = _geometry(parts.geometry, reading).completed(patterns.shape[-1])
    patterns = _without_bad_values(patterns, parts.bad_pixels, scratch)
    if parts.indexes is not None:
        _check_indexes(parts.indexes, patterns)
    positions, geometry = _in_pixels(parts, geometry, reading, patterns.shape[-1])
    acquisition = acquisition_from_arrays(
        patterns,
        positions,
        np.zeros(patterns.shape[1:]) if parts.probe is None else parts.probe,
        bad_pixels=parts.bad_pixels,
        object_=parts.object_,
        labels=parts.labels,
        rule=parts.rule,
        labelled=parts.labelled,
        nphotons=nphotons,
    )
    notes = (*parts.notes, *_guessed_unit(parts, reading), *_turned(reading))
    if parts.probe is None:
        acquisition = acquisition.seen_again(probe=back_projected_probe(acquisition.totals.mean_pattern))
        notes = (*notes, GUESSED)
    elif parts.probe.dtype.kind != "c":
        notes = (*notes, REAL)
    if parts.probe is not None and parts.probe_scale != "patterns":
        free = parts.probe_scale == "free"
        acquisition = acquisition.seen_again(probe=_calibrated(acquisition) if free else probe_modes(parts.probe))
    for note in notes:
        logger.log(logging.WARNING if note in (GUESSED, REAL) else logging.INFO, "%s", note)
    acquisition = acquisition.seen_again(
        indexes=parts.indexes,
        geometry=None if geometry == Geometry() else geometry,
        notes=notes,
    )
    return with_turned_patterns(
        acquisition, flip_x=reading.flip_x, flip_y=reading.flip_y, transpose=reading.transpose, scratch=scratch
    )


def _paired(parts: Parts, scratch: Path | None) -> Parts:
    """Return parts whose patterns and positions come in one order, by their indexes where both have some."""
    patterns, positions, frames, places = parts.patterns, parts.positions, parts.indexes, parts.position_indexes
    if patterns is None or positions is None or frames is None or places is None:
        return parts
    _check_indexes(frames, patterns)
    _check_indexes(places, positions)
    _, of_frames, of_places = np.intersect1d(frames, places, return_indices=True)
    if not len(of_frames):
        raise DataError("found no index that patterns and positions share, expected pairs; give files of one scan")
    order = np.argsort(of_frames)
    of_frames, of_places = of_frames[order], of_places[order]
    n_alone = len(frames) - len(of_frames), len(places) - len(of_places)
    note = (
        f"{len(of_frames)} frames paired with positions by index; left out without a partner: {n_alone[0]} frames, "
        f"{n_alone[1]} positions"
    )
    in_order = np.array_equal(of_frames, np.arange(len(patterns)))
    return replace(
        parts,
        indexes=frames[of_frames],
        patterns=patterns if in_order else _picked(patterns, of_frames, scratch),
        positions=positions[of_places],
        labels=parts.labels if in_order or parts.labels is None else parts.labels[of_frames],
        notes=(*parts.notes, note) if any(n_alone) else parts.notes,
    )


def _picked(patterns: NDArray[Any], frames: NDArray[np.int64], scratch: Path | None) -> NDArray[Any]:
    shape = (len(frames), *patterns.shape[1:])
    return changed(patterns, lambda rows: rows_of(patterns, frames[rows]), shape, scratch)


def _check_indexes(indexes: NDArray[Any], array: NDArray[Any]) -> None:
    if indexes.dtype.kind not in "iu" or indexes.ndim != 1 or indexes.shape != array.shape[:1]:
        raise DataError(
            f"found indexes of type {indexes.dtype} and shape {indexes.shape} for an array of shape {array.shape}, "
            "expected (n,) whole numbers; store one for each pattern or position"
        )


def _geometry(stated: Geometry, reading: Reading) -> Geometry:
    """Return energy and lengths, those of the user over those of the file."""
    pixel = reading.detector_pixel
    return replace(
        stated,
        energy=reading.energy or stated.energy,
        distance=reading.distance or stated.distance,
        detector_pixel=(pixel, pixel) if pixel else stated.detector_pixel,
    )


def _without_bad_values(patterns: NDArray[Any], bad_pixels: NDArray[Any] | None, scratch: Path | None) -> NDArray[Any]:
    """Return patterns with 0 in bad pixels where a detector marks these by values that are no counts."""
    if bad_pixels is None or bad_pixels.shape != patterns.shape[1:] or bad_pixels.dtype.kind not in "biu":
        return patterns
    bad = bad_pixels.astype(bool)
    if patterns.dtype.kind not in "if" or not bad.any():
        return patterns
    values = (block[:, bad] for _, block in blocks(patterns))
    if all((np.isfinite(some) & (some >= 0)).all() for some in values):
        return patterns
    return changed(patterns, lambda rows: np.where(bad, 0, rows_of(patterns, rows)), patterns.shape, scratch)


def _in_pixels(parts: Parts, geometry: Geometry, reading: Reading, size: int) -> tuple[NDArray[np.float64], Geometry]:
    """Return positions in px and the geometry with the place of the pixel that they are counted from."""
    assert parts.positions is not None
    positions = scan_positions(parts.positions)
    if _unit(parts, positions, reading) == "px":
        start: Pair = parts.origin or (0.0, 0.0)
        if geometry.object_pixel and parts.origin:
            geometry = replace(geometry, origin=_pair(np.asarray(start) * geometry.object_pixel))
        return positions - start, geometry
    if geometry.object_pixel is None:
        unknown = [name for name in ("energy", "distance", "detector_pixel") if getattr(geometry, name) is None]
        raise DataError(
            f"found positions in metres and no pixel size of the object, expected {', '.join(unknown)} to find it; "
            f"give {CONVERT} {' '.join(f'--{name} NUMBER' for name in unknown)}"
        )
    pixel = np.asarray(geometry.object_pixel)
    origin = np.asarray(positions.min(axis=0) - size // 2 * pixel if parts.origin is None else parts.origin)
    with np.errstate(over="ignore"):
        in_pixels = (positions - origin) / pixel
    check_finite("positions in pixels", in_pixels)
    return in_pixels, replace(geometry, origin=_pair(origin))


def _unit(parts: Parts, positions: NDArray[np.float64], reading: Reading) -> str:
    if parts.unit != "unstated":
        return parts.unit
    if reading.units != "auto":
        return reading.units
    return "m" if np.ptp(positions, axis=0).max() < SHORT else "px"


def _guessed_unit(parts: Parts, reading: Reading) -> tuple[str, ...]:
    """Return what is to be said of the unit of positions where neither file nor user states it."""
    if parts.positions is None or parts.unit != "unstated" or reading.units != "auto":
        return ()
    unit = {"m": "metres", "px": "pixels"}[_unit(parts, parts.positions, reading)]
    reach = float(np.ptp(parts.positions, axis=0).max())
    return (
        f"positions state no unit; they reach {reach:.3g} from end to end and are taken for {unit}; --units overrules "
        "that",
    )


def _turned(reading: Reading) -> tuple[str, ...]:
    return (f"patterns, mask and probe turned: {', '.join(reading.turns)}",) if reading.turns else ()


def _pair(values: NDArray[np.float64]) -> Pair:
    return float(values[0]), float(values[1])


def _calibrated(acquisition: Acquisition) -> Probe:
    """Return the probe with a power of the mean counts of a frame."""
    power = float(probe_intensity(acquisition.probe).sum())
    if not power > 0:
        raise DataError("found a probe without light, expected a guess of the probe; give one")
    counts = float(acquisition.counts_per_frame().mean(dtype=np.float64))
    return probe_modes(acquisition.probe, float(np.sqrt(counts / power)))
