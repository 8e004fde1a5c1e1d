"""Metres: photon energy, distance, detector pixels, and the pixel of the object that follows from them."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ptycho.base.errors import DataError

PLANCK = 6.62607015e-34  # J s, exact in the SI
LIGHT = 299_792_458.0  # m / s, exact
ELECTRON_VOLT = 1.602176634e-19  # J, exact

Pair = tuple[float, float]


@dataclass(frozen=True)
class Geometry:
    """What is known of a scan's energy and lengths; None for what nobody stated.

    Attributes
    ----------
    energy
        Photon energy, eV.
    distance
        From the sample to the detector, m.
    detector_pixel
        (y, x) size of a detector pixel, m.
    object_pixel
        (y, x) size of a pixel of the object, m: in the far field ``wavelength distance / (N detector pixel)``.
    origin
        (y, x) that the scan's motors say at position (0, 0), m.
    """

    energy: float | None = None
    distance: float | None = None
    detector_pixel: Pair | None = None
    object_pixel: Pair | None = None
    origin: Pair = (0.0, 0.0)

    def with_object_pixel(self, size: int) -> "Geometry":
        """Return the geometry with the far field's object pixel for patterns of ``size`` px, where none is stated."""
        if self.object_pixel or self.energy is None or self.distance is None or self.detector_pixel is None:
            return self
        return replace(self, object_pixel=conjugate_pixel(self.energy, self.distance, size, self.detector_pixel))

    def with_distance(self, size: int) -> "Geometry":
        """Return the geometry with the distance that the pixels of object and detector imply, where none is stated."""
        if self.distance or self.energy is None or self.detector_pixel is None or self.object_pixel is None:
            return self
        return replace(self, distance=size * self.detector_pixel[0] * self.object_pixel[0] / wavelength(self.energy))

    def known(self, size: int) -> "Lengths":
        """Return all of it for patterns of ``size`` px; of the two pixels one follows from the other.

        Raises
        ------
        DataError
            Something is missing; the message says how to give it.
        """
        energy, distance, detector, pixel = self.energy, self.distance, self.detector_pixel, self.object_pixel
        if energy is None or distance is None or (detector is None and pixel is None):
            stated = {"energy": energy, "distance": distance, "detector_pixel": detector or pixel}
            missing = [name for name, value in stated.items() if value is None]
            raise DataError(
                f"found a scan without {', '.join(missing)}, expected all three, for metres; write a scan that has "
                f"them: ptycho convert SCAN SCAN.npz {' '.join(f'--{name} NUMBER' for name in missing)}"
            )
        detector = detector or conjugate_pixel(energy, distance, size, pixel or (0.0, 0.0))
        return Lengths(
            energy, distance, detector, pixel or conjugate_pixel(energy, distance, size, detector), self.origin
        )


@dataclass(frozen=True)
class Lengths:
    """A geometry of which all is known: energy in eV, lengths in m, pairs (y, x); see `Geometry`."""

    energy: float
    distance: float
    detector_pixel: Pair
    object_pixel: Pair
    origin: Pair

    def metres(self, positions: Float64[ndarray, "position 2"]) -> Float64[ndarray, "position 2"]:
        """Return positions, px, as the scan's motors say them: (y, x), m."""
        metres: Float64[ndarray, "position 2"] = positions * np.asarray(self.object_pixel) + np.asarray(self.origin)
        return metres


def conjugate_pixel(energy: float, distance: float, size: int, pixel: Pair) -> Pair:
    """Return the (y, x) pixel, m, on the other side of the far field: ``wavelength distance / (N pixel)``.

    From the detector's to the object's, and back.

    Raises
    ------
    DataError
        A length or the energy is not above 0.
    """
    stated = (energy, distance, *pixel)
    if not all(math.isfinite(value) and value > 0 for value in stated):
        raise DataError(
            f"found the energy {energy:g} eV, the distance {distance:g} m and a pixel of {pixel} m, "
            "expected numbers above 0; correct them in the file, or give --energy, --distance and --detector_pixel"
        )
    across = wavelength(energy) * distance / size
    return across / pixel[0], across / pixel[1]


def wavelength(energy: float) -> float:
    """Return the wavelength, m, of photons of ``energy`` eV: ``h c / E``.

    Examples
    --------
    >>> round(wavelength(12_398.42) * 1e10, 6)
    1.0
    """
    return PLANCK * LIGHT / (energy * ELECTRON_VOLT)


def energy_of(wavelength: float) -> float:
    """Return the energy, eV, of photons of a ``wavelength`` in m."""
    return PLANCK * LIGHT / (wavelength * ELECTRON_VOLT)
