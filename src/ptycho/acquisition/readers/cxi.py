"""Read CXI files of the Coherent X-ray Imaging Data Bank, https://www.cxidb.org/cxi.html."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.build import check_finite, check_real, number
from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import numbers
from ptycho.acquisition.readers.ptychodus import placed_object, stored_probe
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import ELECTRON_VOLT, Geometry, Pair, energy_of

DETECTOR = "entry_1/instrument_1/detector_1"
SOURCE = "entry_1/instrument_1/source_1"
DATA = ("entry_1/data_1/data", f"{DETECTOR}/data")
ILLUMINATION = f"{SOURCE}/illumination"
TRANSLATION = (
    "entry_1/sample_1/geometry_1/translation",
    "entry_1/data_1/translation",
    f"{DETECTOR}/translation",
)
PROBE, OBJECT = "entry_1/image_1/data", "entry_1/image_2/data"  # as Ptychodus uses them
PTYCHODUS = "entry_1/ptychodus"
HAS_SIGNAL = 0x1000  # the one flag of a mask that doesn't make a pixel bad
# Rows and columns of an image in the laboratory's (x, y, z) where a file doesn't state them.
AXES = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])


def recognise(source: Source) -> bool:
    """Say whether the file has this layout, if only in part."""
    return any(key in source for key in (*DATA, *TRANSLATION))


def beside(path: Path) -> tuple[Path, ...]:
    """Return where Ptychodus puts the other half of a scan."""
    other = {"diffraction": "product", "product": "diffraction"}.get(path.stem)
    return () if other is None else (path.with_name(f"{other}{path.suffix}"),)


def read(source: Source, reading: Reading) -> Parts:
    """Read patterns, mask, translations, energy and lengths, and the probe and object of files of Ptychodus.

    A translation is the sample's in the laboratory, whose images have rows along -y and columns along -x. The probe
    moves the other way on the sample: the two signs cancel, and its position (row, column) is the translation's (y, x).
    A file may state other axes, as basis_vectors, and ``reading.translation`` another mover.

    Raises
    ------
    DataError
        The file can't be used.
    """
    positions, notes = _positions(source, reading)
    probe, scale, varies = _probe(source)
    object_, pixel, origin, more = _object(source, probe)
    patterns = next((numbers(source, key, 3) for key in DATA if key in source), None)
    return Parts(
        source=name_of(source),
        patterns=patterns,
        bad_pixels=_bad_pixels(source),
        indexes=None if patterns is None else np.arange(len(patterns)),
        positions=positions,
        unit="m",
        origin=origin,
        position_indexes=source.get(f"{PTYCHODUS}/probe_position_indexes"),
        probe=probe,
        probe_scale=scale,
        object_=object_,
        geometry=Geometry(_energy(source), _number(source, f"{DETECTOR}/distance"), _detector_pixel(source), pixel),
        notes=(*notes, *varies, *more),
    )


def _positions(source: Source, reading: Reading) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    key = next((key for key in TRANSLATION if key in source), None)
    if key is None:
        return None, ()
    translation = source[key]
    check_real("translation", translation)
    if translation.ndim != 2 or translation.shape[1] not in (2, 3):
        raise DataError(f"found translation of shape {translation.shape}, expected (n, 3) in metres; correct it")
    axes = _axes(source)
    unit = (AXES if axes is None else axes)[:, : translation.shape[1]]
    sign = -1.0 if reading.translation == "sample" else 1.0
    positions: NDArray[Any] = sign * translation.astype(np.float64) @ unit.T
    note = (
        f"translation (x, y) is taken for that of the {reading.translation}, in metres, and the image's rows and "
        f"columns lie along {_direction(AXES[0] if axes is None else axes[0])} and "
        f"{_direction(AXES[1] if axes is None else axes[1])} ({'by the standard' if axes is None else 'basis_vectors'})"
    )
    return positions, (note,)


def _axes(source: Source) -> NDArray[np.float64] | None:
    """Return unit vectors (x, y, z) along the rows' and the columns' index, None where the file has none."""
    vectors = source.get(f"{DETECTOR}/basis_vectors")
    if vectors is None:
        return None
    check_real("basis_vectors", vectors)
    check_finite("basis_vectors", vectors)
    pair = vectors.T if vectors.shape == (3, 2) else vectors
    lengths = np.linalg.norm(pair, axis=-1) if pair.shape == (2, 3) else np.zeros(2)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise DataError(f"found basis_vectors of shape {vectors.shape}, expected two vectors (2, 3); correct them")
    axes: NDArray[np.float64] = pair.astype(np.float64) / lengths[:, None]
    return axes


def _direction(axis: NDArray[np.float64]) -> str:
    named = int(np.abs(axis).argmax())
    plain = np.abs(axis[named]) > 1 - 1e-6
    return f"{'-' if axis[named] < 0 else '+'}{'xyz'[named]}" if plain else f"({', '.join(f'{v:.3g}' for v in axis)})"


def _energy(source: Source) -> float | None:
    """Return the energy, eV; the standard has joule, and what is above 1 can only be eV."""
    energy, wavelength = (_number(source, f"{SOURCE}/{name}") for name in ("energy", "wavelength"))
    if energy is None:
        return None if wavelength is None else energy_of(wavelength)
    return energy if energy > 1 else energy / ELECTRON_VOLT


def _detector_pixel(source: Source) -> Pair | None:
    height, width = (_number(source, f"{DETECTOR}/{axis}_pixel_size") for axis in "yx")
    if height is not None or width is not None:
        return (height or width or 0.0, width or height or 0.0)
    vectors = source.get(f"{DETECTOR}/basis_vectors")
    if vectors is None or _axes(source) is None:
        return None
    lengths = np.linalg.norm(vectors.T if vectors.shape == (3, 2) else vectors, axis=-1)
    return float(lengths[0]), float(lengths[1])


def _number(source: Source, key: str) -> float | None:
    value = source.get(key)
    if value is None:
        return None
    found = number(key, value)
    if not (np.isfinite(found) and found > 0):
        raise DataError(f"found {key} = {found:g}, expected a finite number above 0; correct it or leave it out")
    return found


def _bad_pixels(source: Source) -> NDArray[np.bool_] | None:
    mask = source.get(f"{DETECTOR}/mask")
    if mask is None:
        return None
    if mask.dtype.kind not in "biu":
        raise DataError(f"found a mask of type {mask.dtype}, expected whole numbers; store the flags of CXI")
    bad: NDArray[np.bool_] = (mask.astype(np.int64) & ~HAS_SIGNAL) != 0
    return np.asarray(bad.any(axis=0), bool) if bad.ndim == 3 else bad


def _probe(source: Source) -> tuple[NDArray[Any] | None, Literal["counts", "free"], tuple[str, ...]]:
    """Return probe, scale and notes; an image_1 is a probe in files of Ptychodus only."""
    known = f"{PTYCHODUS}/probe_pixel_width_m" in source
    key = next((key for key in (ILLUMINATION, *([PROBE] if known else [])) if key in source), None)
    return (None, "free", ()) if key is None else stored_probe(source, key)


def _object(
    source: Source, probe: NDArray[Any] | None
) -> tuple[NDArray[Any] | None, Pair | None, Pair | None, tuple[str, ...]]:
    """Return object, its pixel, the place of its pixel [0, 0] (m) and notes, where Ptychodus states them."""
    pixel = [_number(source, f"{PTYCHODUS}/object_pixel_{name}_m") for name in ("height", "width")]
    if pixel[0] is None or pixel[1] is None:
        return None, None, None, ()
    size, layers = (pixel[0], pixel[1]), source.get(OBJECT)
    y, x = (source.get(f"{PTYCHODUS}/object_center_{name}_m") for name in "yx")
    if layers is None or probe is None or y is None or x is None:
        return None, size, None, ()
    object_, origin, notes = placed_object(layers, (number("y", y), number("x", x)), size, probe.shape[-1])
    return object_, size, origin, notes
