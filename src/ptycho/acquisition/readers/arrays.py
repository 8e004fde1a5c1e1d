"""Read arrays without a layout of their own: one array or table a file, or an archive with names anyone would give."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import ELECTRON_VOLTS, METRES, coordinates, numbers, pair, quantity, waves
from ptycho.acquisition.readers.loose import TABLES, Loose
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry

PATTERNS = ("patterns", "frames", "intensities", "data")
POSITIONS, COLUMNS = "positions", ("y", "x")
X_FIRST = (".txt",)  # as Ptychodus writes them; a csv has y first
COMPANIONS = ("positions.npy", "positions.csv", "positions.txt"), ("probe.npy",)


def recognise(source: Source) -> bool:
    """Say whether a file holds one array or table, or patterns by one of these names."""
    return (isinstance(source, Loose) and len(source.keys) == 1) or _key(source) is not None


def neighbours(path: Path) -> tuple[Path, ...]:
    """Return the positions and the probe that lie beside patterns, by name; of positions, the first."""
    beside = ([path.with_name(name) for name in names if path.with_name(name).is_file()] for names in COMPANIONS)
    return tuple(found[0] for found in beside if found)


def read(source: Source, reading: Reading) -> Parts:
    """Read patterns (n, y, x), positions (n, 2) or a probe, whichever it is by shape and type; or all by their names.

    Positions are (y, x), in a txt (x, y); their unit is not stated.

    Raises
    ------
    DataError
        The file can't be used.
    """
    if isinstance(source, Loose):
        (key,) = source.keys
        return _single(source, key)
    patterns = _key(source)
    return Parts(
        source=name_of(source),
        patterns=None if patterns is None else numbers(source, patterns, 3),
        bad_pixels=source.get("bad_pixels"),
        positions=_named_positions(source),
        unit="unstated",
        probe=waves(source, "probe"),
        probe_scale="free",
        geometry=Geometry(
            energy=quantity(source, "energy_eV", ELECTRON_VOLTS, "eV"),
            distance=quantity(source, "distance_m", METRES, "m"),
            detector_pixel=pair(source, "detector_pixel_m", METRES, "m"),
            object_pixel=pair(source, "object_pixel_m", METRES, "m"),
        ),
    )


def _key(source: Source) -> str | None:
    return next((key for key in PATTERNS if key in source), None)


def _named_positions(source: Source) -> NDArray[np.float64] | None:
    if POSITIONS in source:
        return _two_columns(source, POSITIONS)
    return coordinates(source, *COLUMNS) if all(key in source for key in COLUMNS) else None


def _two_columns(source: Source, key: str) -> NDArray[np.float64]:
    array = numbers(source, key, 2)
    if array.shape[1] < 2:
        raise DataError(f"found {key!r} of shape {array.shape}, expected (n, 2); give two numbers a position")
    return array[:, :2].astype(np.float64)


def _single(source: Loose, key: str) -> Parts:
    """Return the one array of a file as what its type and shape make it."""
    array, name, suffix = source[key], source.path.name, source.path.suffix.lower()
    if array.dtype.kind == "c":
        return Parts(source=name, probe=waves(source, key), probe_scale="free")
    if suffix in TABLES or (array.ndim == 2 and array.shape[1] == 2):
        positions = _two_columns(source, key)
        return Parts(
            source=name,
            positions=positions[:, ::-1] if suffix in X_FIRST else positions,
            unit="unstated",
            notes=(f"the columns of {name} are {'x, y' if suffix in X_FIRST else 'y, x'}",),
        )
    if array.ndim != 3:
        raise DataError(
            f"found a single npy array of shape {array.shape}, expected patterns (n, N, N), positions (n, 2) or a "
            "complex probe (N, N) or (mode, N, N); name the file of the patterns"
        )
    return Parts(source=name, patterns=numbers(source, key, 3))
