"""Read what Ptychodus writes: diffraction and product files, HDF5 or npz alike, and its training data."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.build import number
from ptycho.acquisition.centring import half_pixel
from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import numbers
from ptycho.acquisition.readers.source import Source, first_number, name_of
from ptycho.acquisition.scan_arrays import positions_yx
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry, Pair
from ptycho.optics.intensity import CountRule

PATTERNS, INDEXES = "patterns", "indexes"
POSITIONS = ("probe_position_y_m", "probe_position_x_m")
PIXELS = ("probe_position_y_px", "probe_position_x_px")
ENERGY = ("photon_energy_eV", "probe_energy_eV")  # the second until version 1.2
DISTANCE = "detector_object_distance_m"
RULE = CountRule("counts", 1.0, "counts: files of Ptychodus hold counts")
# Attribute of the probe in a product that this package wrote, and its one value.
CONVENTION = "fourier_transform"
UNNORMALISED = "numpy.fft.fft2(probe * patch), norm None: its squared modulus is counts"


def recognise_training(source: Source) -> bool:
    """Say whether a file is training data: patterns, and positions in px."""
    return all(key in source for key in (PATTERNS, *PIXELS))


def recognise_product(source: Source) -> bool:
    """Say whether a file is a product: positions in metres, probe, object."""
    return all(key in source for key in POSITIONS)


def recognise_diffraction(source: Source) -> bool:
    """Say whether a file holds patterns and the indexes that pair them with positions."""
    return PATTERNS in source and INDEXES in source


def beside_diffraction(path: Path) -> tuple[Path, ...]:
    """Return where the product lies beside a file of patterns."""
    return tuple(path.with_name(f"product{suffix}") for suffix in (".h5", ".hdf5", ".npz"))


def beside_product(path: Path) -> tuple[Path, ...]:
    """Return where the patterns lie beside a product."""
    return tuple(path.with_name(f"diffraction{suffix}") for suffix in (".h5", ".hdf5", ".npz"))


def read_diffraction(source: Source, reading: Reading) -> Parts:
    """Read patterns (n, N, N) in counts, their indexes, and the size of a detector pixel where it is stated.

    Raises
    ------
    DataError
        The file can't be used.
    """
    return Parts(
        source=name_of(source),
        patterns=numbers(source, PATTERNS, 3),
        indexes=source.get(INDEXES),
        bad_pixels=source.get("bad_pixels"),
        rule=RULE,
        geometry=Geometry(detector_pixel=_pixel(source, PATTERNS, "detector_pixel")),
    )


def read_product(source: Source, reading: Reading) -> Parts:
    """Read positions in metres, the probe, and the object where it is more than a start.

    Positions name the middle of a patch: ``x_px = (x_m - centre) / pixel + (width - 1) / 2`` in the object's pixels.

    Raises
    ------
    DataError
        The file can't be used.
    """
    probe, scale, notes = stored_probe(source, "probe")
    pixel = _pixel(source, "object", "pixel") or _pixel(source, "probe", "pixel")
    centre = _pair(source, "object", ("center_y_m", "center_x_m"))
    energy, distance = _beam(source)
    object_, origin, more = placed_object(source["object"], centre, pixel, probe.shape[-1])
    y, x = (source[key] for key in POSITIONS)
    if source.attribute("", "far_field") is False or _is_false(source, "far_field"):
        more = (*more, "the product says near field, which is not modelled: far-field results of it mean nothing")
    return Parts(
        source=name_of(source),
        positions=positions_yx(x, y),
        unit="m",
        origin=origin,
        position_indexes=source.get("probe_position_indexes"),
        probe=probe,
        probe_scale=scale,
        object_=object_,
        geometry=Geometry(energy, distance, None, pixel),
        notes=(*notes, *more),
    )


def read_training(source: Source, reading: Reading) -> Parts:
    """Read all of a scan; positions are in px of the object and name the middle of a patch.

    Raises
    ------
    DataError
        The file can't be used.
    """
    parts = read_diffraction(source, reading)
    probe, scale, notes = stored_probe(source, "probe")
    y, x = (source[key] for key in PIXELS)
    energy, distance = _beam(source)
    pixel = _pixel(source, "object", "pixel")
    # Where the object was is lost; its middle is 0 for Ptychodus too.
    object_, origin, more = placed_object(source["object"], (0.0, 0.0), pixel, probe.shape[-1])
    return replace(
        parts,
        positions=positions_yx(x, y) + half_pixel(probe.shape[-1]),
        probe=probe,
        probe_scale=scale,
        object_=object_,
        geometry=Geometry(energy, distance, None, pixel, origin or (0.0, 0.0)),
        notes=(*notes, *more),
    )


def _beam(source: Source) -> tuple[float | None, float | None]:
    """Return energy (eV) and distance (m); Ptychodus writes 0 for what it doesn't know."""
    return first_number(source, *ENERGY) or None, first_number(source, DISTANCE) or None


def stored_probe(source: Source, key: str) -> tuple[NDArray[Any], Literal["counts", "free"], tuple[str, ...]]:
    """Return the probe's modes, their scale as `Parts` has it, and a note on what was left out.

    Raises
    ------
    DataError
        It is no probe.
    """
    probe = source[key]
    if probe.ndim not in (2, 3, 4) or 0 in probe.shape or probe.dtype.kind not in "iufc":
        raise DataError(
            f"found a probe of shape {probe.shape} and type {probe.dtype}, expected complex ([coherent, incoherent,] "
            "y, x); correct it"
        )
    modes = probe[0] if probe.ndim == 4 else probe
    varies = probe.ndim == 4 and len(probe) > 1
    notes = (f"the probe varies from frame to frame; the first of its {len(probe)} coherent modes is read",)
    ours = source.attribute(key, CONVENTION) == UNNORMALISED
    return (
        modes * np.float64(modes.shape[-1]) if ours else modes,
        "counts" if ours else "free",
        notes if varies else (),
    )


def placed_object(
    layers: NDArray[Any], centre: Pair | None, pixel: Pair | None, size: int
) -> tuple[NDArray[Any] | None, Pair | None, tuple[str, ...]]:
    """Return the transmission of an object (height, width), the origin of positions in its pixels (m), and notes.

    Positions of Ptychodus name the middle of a patch, here of ``size`` px. A constant object is a start that says
    nothing: it has no transmission, and no origin.

    Raises
    ------
    DataError
        The object has another shape.
    """
    if layers.ndim not in (2, 3) or 0 in layers.shape or layers.dtype.kind not in "iufc":
        raise DataError(
            f"found an object of shape {layers.shape} and type {layers.dtype}, expected complex ([layer,] y, x); "
            "correct it"
        )
    if not np.isfinite(layers).all():
        raise DataError("found NaN or infinity in the object, expected finite values; correct or leave it out")
    object_: NDArray[Any] = layers.prod(axis=0) if layers.ndim == 3 else layers
    if (object_ == object_.flat[0]).all():
        return None, None, ()
    notes = (f"the object is the product of {len(layers)} layers",) if layers.ndim == 3 and len(layers) > 1 else ()
    if centre is None or pixel is None:
        return object_, None, notes
    middle = [(length - 1) / 2 + half_pixel(size) for length in object_.shape]
    return object_, (centre[0] - pixel[0] * middle[0], centre[1] - pixel[1] * middle[1]), notes


def _pixel(source: Source, key: str, name: str) -> Pair | None:
    pixel = _pair(source, key, (f"{name}_height_m", f"{name}_width_m"))
    if pixel is not None and min(pixel) <= 0:
        raise DataError(f"found a pixel of the {key} of {pixel} m, expected numbers above 0; correct or leave out both")
    return pixel


def _pair(source: Source, key: str, names: tuple[str, str]) -> Pair | None:
    """Return a (y, x) pair of lengths, attributes of an array or arrays of their own; None where they are not there."""
    found = []
    for name in names:
        flat = f"{key}_{name}"
        value = number(flat, source[flat]) if flat in source else source.attribute(key, name)
        if not isinstance(value, int | float) or not np.isfinite(value):
            return None
        found.append(float(value))
    return found[0], found[1]


def _is_false(source: Source, key: str) -> bool:
    value = source.get(key)
    return value is not None and value.size == 1 and not bool(value.reshape(()))
