"""Read the documented npz layout: diff3d, xcoords, ycoords, probeGuess and their companions."""

import logging
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.build import number
from ptycho.acquisition.centring import from_middle, half_pixel
from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.archive import Archive
from ptycho.acquisition.readers.metadata import usable_metadata
from ptycho.acquisition.readers.nearest import KNOWN
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.acquisition.scan_arrays import FRAME_INDEX, GEOMETRY_KEYS, PATCH_INDEX, ScanArrays, positions_yx
from ptycho.base.errors import DataError
from ptycho.base.printable import listed
from ptycho.config.checks import nearest
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry
from ptycho.optics.intensity import CountRule

logger = logging.getLogger(__name__)

PATTERNS = ("diff3d", "diffraction")
LABELS = ("Y", "label")
COORDINATES = ("xcoords", "ycoords")
REQUIRED = (*COORDINATES, "probeGuess")


def recognise(source: Source) -> bool:
    """Say whether the file has the documented layout, if only in part."""
    return isinstance(source, Archive) and any(key in source for key in (*PATTERNS, *REQUIRED))


def read(archive: Archive, reading: Reading) -> Parts:
    """Read a scan in the documented npz layout, or the part of one that the file holds.

    Raises
    ------
    DataError
        The file can't be used, holds one coordinate alone, or a probe by a name that is misspelt.
    """
    held = [key for key in COORDINATES if key in archive]
    if len(held) == 1:
        raise _lacking(archive, [key for key in COORDINATES if key not in held])
    patterns, probe = _first(archive, PATTERNS), archive.get("probeGuess")
    if probe is None and (meant := nearest("probeGuess", archive.keys - KNOWN)):
        raise _lacking(archive, [f"probeGuess{meant}"])
    positions = None
    if held:
        x, y = (archive[key] for key in COORDINATES)
        if probe is not None and _exported_by_ptychodus(archive, x, y, probe):
            x, y = from_middle(x, y, probe.shape[-1])
        positions = positions_yx(x, y)
    return Parts(
        source=name_of(archive),
        patterns=None if patterns is None else archive[patterns],
        bad_pixels=_bad_pixels(archive),
        rule=_rule(archive),
        labelled=_nphotons(archive),
        positions=positions,
        probe=probe,
        object_=_optional(archive, "objectGuess"),
        labels=true_patches(archive),
        geometry=read_geometry(archive) or Geometry(),
        notes=_notes(archive),
        indexes=_optional(archive, FRAME_INDEX),
    )


def scan_arrays(archive: Archive) -> ScanArrays:
    """Return the arrays of an archive in the documented layout, for clients that know a whole scan only.

    Raises
    ------
    DataError
        A required key is missing or an array can't be loaded.
    """
    return companions(archive, archive[patterns_key(archive)], true_patches(archive))


def patterns_key(archive: Archive) -> str:
    """Return the key of the patterns in an archive of the documented layout.

    Raises
    ------
    DataError
        A required key is missing.
    """
    patterns = _first(archive, PATTERNS)
    missing = [key for key in REQUIRED if key not in archive] + ([] if patterns else ["diff3d (or diffraction)"])
    if patterns is None or missing:
        raise _lacking(archive, missing)
    return patterns


def _lacking(archive: Archive, missing: list[str]) -> DataError:
    return DataError(
        f"found keys {listed(archive.keys)}, missing {', '.join(missing)}; "
        "expected diff3d or diffraction, xcoords, ycoords and probeGuess: add what is missing"
    )


def _first(archive: Archive, keys: tuple[str, ...]) -> str | None:
    """Return the first of ``keys`` that an archive has, None where it has none."""
    return next((key for key in keys if key in archive), None)


def true_patches(archive: Archive) -> NDArray[Any] | None:
    """Return the true patch of every position that an archive holds, None where it holds none."""
    key = _first(archive, LABELS)
    return None if key is None else _optional(archive, key)


def companions(archive: Archive, patterns: NDArray[Any], labels: NDArray[Any] | None) -> ScanArrays:
    """Return the arrays of an archive beside patterns, and true patches of them, that are at hand already."""
    arrays = ScanArrays(
        patterns=patterns,
        x=archive["xcoords"],
        y=archive["ycoords"],
        probe=archive["probeGuess"],
        x_start=_optional(archive, "xcoords_start"),
        y_start=_optional(archive, "ycoords_start"),
        object_=_optional(archive, "objectGuess"),
        labels=labels,
        scan_index=_optional(archive, "scan_index"),
        bad_pixels=_bad_pixels(archive),
        nphotons=_nphotons(archive),
        rule=_rule(archive),
        geometry=read_geometry(archive),
        notes=_notes(archive),
        indexes=_optional(archive, FRAME_INDEX),
    )
    return _centred(arrays) if _exported_by_ptychodus(archive, arrays.x, arrays.y, arrays.probe) else arrays


def _exported_by_ptychodus(archive: Archive, x: NDArray[Any], y: NDArray[Any], probe: NDArray[Any]) -> bool:
    """Say whether Ptychodus exported a file: it writes flags of bad pixels and modes, and not what a position names."""
    numbers = all(each.dtype.kind in "iuf" for each in (x, y))
    return numbers and "bad_pixels" in archive and PATCH_INDEX not in archive and probe.ndim == 3


def _centred(arrays: ScanArrays) -> ScanArrays:
    size = arrays.probe.shape[-1]
    x, y = from_middle(arrays.x, arrays.y, size)
    moved = replace(arrays, x=x, y=y)
    if arrays.x_start is None or arrays.y_start is None:
        return moved
    offset = half_pixel(size)
    return replace(moved, x_start=arrays.x_start + offset, y_start=arrays.y_start + offset)


def _optional(archive: Archive, key: str) -> NDArray[Any] | None:
    if key not in archive:
        return None
    if archive.is_pickled(key):
        logger.info("%r holds pickled objects, which are not loaded; it is left out", key)
        return None
    return archive[key]


def _bad_pixels(archive: Archive) -> NDArray[Any] | None:
    bad = archive.get("bad_pixels")
    if "mask" not in archive:
        return bad
    mask = archive["mask"]
    if mask.dtype.kind not in "biuf" or (bad is not None and (bad.shape != mask.shape or bad.dtype.kind not in "biu")):
        found = f"{mask.shape} {mask.dtype}" if bad is None else f"{mask.shape} {mask.dtype}, {bad.shape} {bad.dtype}"
        raise DataError(
            f"found mask and bad_pixels of {found}, expected flags (N, N) in both; correct or leave out one"
        )
    untrusted = ~mask.astype(bool)
    return untrusted if bad is None else np.logical_or(bad, untrusted)


def _nphotons(archive: Archive) -> float | None:
    if "nphotons" in archive:
        return number("nphotons", archive["nphotons"])
    try:
        value = ((usable_metadata(archive) or {}).get("physics_parameters") or {}).get("nphotons")
        return None if value is None else float(value)
    except (ValueError, TypeError, AttributeError) as error:
        logger.info("the photons in _metadata are no number (%s); they are left out", error)
        return None


def read_geometry(archive: Archive) -> Geometry | None:
    """Return energy and lengths that an archive of ours states, None where it states none.

    Raises
    ------
    DataError
        A value can't be used.
    """
    stated = {field: _lengths(key, archive[key]) for key, field in GEOMETRY_KEYS.items() if key in archive}
    return Geometry(**stated) if stated else None


def _lengths(key: str, value: NDArray[Any]) -> Any:
    if value.dtype.kind not in "iuf" or value.shape not in ((), (2,)) or not np.isfinite(value).all():
        raise DataError(f"found {key} of type {value.dtype} and shape {value.shape}, expected numbers; correct it")
    return float(value) if value.ndim == 0 else (float(value[0]), float(value[1]))


def _notes(archive: Archive) -> tuple[str, ...]:
    notes = _optional(archive, "notes")
    return () if notes is None or notes.dtype.kind != "U" else tuple(map(str, notes.ravel()))


def _word(key: str, archive: Archive) -> str:
    value = archive[key]
    if value.size != 1 or value.dtype.kind != "U":
        raise DataError(f"found {key} of type {value.dtype} and shape {value.shape}, expected one text; correct it")
    return str(value.reshape(()))


def _rule(archive: Archive) -> CountRule | None:
    if "quantity" not in archive:
        return None
    quantity = _word("quantity", archive)
    if quantity not in ("counts", "amplitude"):
        raise DataError(f"found quantity {quantity!r}, expected 'counts' or 'amplitude'; correct or remove the key")
    scale = number("count_scale", archive["count_scale"]) if "count_scale" in archive else 1.0
    origin = _word("origin", archive) if "origin" in archive else f"{quantity}: the file says so"
    return CountRule(cast(Literal["counts", "amplitude"], quantity), scale, origin)
