"""Read NeXus files: those of ptychography as Diamond's beamlines write them, and frames of a detector alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import ELECTRON_VOLTS, METRES, factor, numbers, quantity
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.base.blocks import blocks
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry, Pair

# By CXI the axes of an image lie against those of the laboratory, and the probe moves against the sample: two signs.
MOVED = {
    "sample": "x and y are taken for the sample's translation, and rows and columns of the image lie against them",
    "probe": "x and y are taken for the probe's translation, and rows and columns of the image lie against them",
}


@dataclass(frozen=True)
class Place:
    """Where a family of files keeps its patterns and positions, its photon energy, and what it says of its detector."""

    data: str
    energy: str
    detector: str

    @property
    def patterns(self) -> str:
        """Key of the patterns."""
        return f"{self.data}/data"

    @property
    def positions(self) -> tuple[str, str]:
        """Keys of rows and columns."""
        return f"{self.data}/y", f"{self.data}/x"


PLACES = (
    Place("entry_1/data", "entry_1/instrument_1/beam_1/energy", "entry_1/instrument_1/detector_1"),
    Place("entry/data", "entry/instrument/beam/incident_energy", "entry/instrument/detector"),
)


def recognise(source: Source) -> bool:
    """Say whether a file has one of these layouts."""
    return any(place.patterns in source for place in PLACES)


def read(source: Source, reading: Reading) -> Parts:
    """Read a scan, or the frames of a detector; arrays without a unit are in SI units, as in CXI.

    Raises
    ------
    DataError
        The file can't be used.
    """
    place = next(place for place in PLACES if place.patterns in source)
    patterns = numbers(source, place.patterns, 3, 4)
    placed = all(key in source for key in place.positions)
    bad_pixels, saturated = _bad_pixels(source, f"{place.detector}/pixel_mask", patterns)
    sign = 1 if reading.translation == "sample" else -1
    return Parts(
        source=name_of(source),
        patterns=patterns.reshape(-1, *patterns.shape[-2:]),
        bad_pixels=bad_pixels,
        positions=sign * _positions(source, place, patterns.shape[:-2]) if placed else None,
        unit="m",
        geometry=Geometry(
            energy=_energy(source, place.energy),
            distance=quantity(source, f"{place.detector}/distance", METRES, "m"),
            detector_pixel=_pixel(source, place.detector),
        ),
        notes=(*saturated, *((MOVED[reading.translation],) if placed else ())),
    )


def _bad_pixels(source: Source, key: str, patterns: NDArray[Any]) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """Return the pixels that the mask of the detector flags, or that reach the largest number of their type, and notes.

    That number is how a detector of Dectris says that it has no value.
    """
    stated = source.get(key)
    if patterns.dtype.kind != "u":
        return stated, ()
    highest = [block.max(axis=tuple(range(block.ndim - 2))) for _, block in blocks(patterns)]
    full = np.max(highest, axis=0) == np.iinfo(patterns.dtype).max
    if not full.any():
        return stated, ()
    note = f"{int(full.sum())} pixels reach the largest number of {patterns.dtype} and are taken for bad ones"
    return full if stated is None or stated.shape != full.shape else full | (stated != 0), (note,)


def _positions(source: Source, place: Place, scan: tuple[int, ...]) -> NDArray[np.float64]:
    """Return (n, 2), (y, x) m, from rows and columns of every frame or of the axes of a raster ``scan``."""
    y, x = (numbers(source, key, 1, 2) * factor(source, key, METRES, "m") for key in place.positions)
    if len(scan) == 2 and (y.shape, x.shape) == ((scan[0],), (scan[1],)):
        y, x = np.meshgrid(y, x, indexing="ij")
    if y.size != np.prod(scan) or y.shape != x.shape:
        raise DataError(
            f"found {' and '.join(place.positions)} of shapes {y.shape} and {x.shape}, expected {scan}, as of the "
            "patterns; leave out what has no partner"
        )
    return np.stack([y.ravel(), x.ravel()], axis=1).astype(np.float64)


def _energy(source: Source, key: str) -> float | None:
    """Return the photon energy, eV; without a unit it is in joule, and what is above 1 can only be eV."""
    plain = key in source and float(numbers(source, key, 0)) > 1
    return quantity(source, key, ELECTRON_VOLTS, "eV" if plain else "J")


def _pixel(source: Source, detector: str) -> Pair | None:
    y, x = (quantity(source, f"{detector}/{axis}_pixel_size", METRES, "m") for axis in "yx")
    return None if y is None or x is None else (y, x)
