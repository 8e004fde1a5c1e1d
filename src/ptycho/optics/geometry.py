"""Metres: photon energy, distance, detector pixels, and the pixel of the object that follows from them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

PLANCK = 6.62607015e-34  # J s, exact in the SI
LIGHT = 299_792_458.0  # m / s, exact
ELECTRON_VOLT = 1.602176634e-19  # J, exact

Pair = tuple[float, float]


@dataclass(frozen=True)
class Geometry:
    """What a scan's file says of lengths; None for what nobody stated.

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

    @property
    def wavelength(self) -> float | None:
        """Wavelength, m: ``h c / E``."""
        return None if self.energy is None else wavelength(self.energy)

    def with_object_pixel(self, size: int) -> "Geometry":
        """Return the geometry with the far field's object pixel for patterns of ``size`` px, where none is stated."""
        if self.object_pixel or self.energy is None or self.distance is None or self.detector_pixel is None:
            return self
        height, width = (wavelength(self.energy) * self.distance / (size * pixel) for pixel in self.detector_pixel)
        return replace(self, object_pixel=(height, width))

    def with_distance(self, size: int) -> "Geometry":
        """Return the geometry with the distance that the pixels of object and detector imply, where none is stated."""
        if self.distance or self.energy is None or self.detector_pixel is None or self.object_pixel is None:
            return self
        return replace(self, distance=size * self.detector_pixel[0] * self.object_pixel[0] / wavelength(self.energy))

    def metres(self, positions: Float64[ndarray, "position 2"]) -> Float64[ndarray, "position 2"]:
        """Return positions, px, as (y, x) in metres, in the coordinates of the motors.

        Raises
        ------
        ValueError
            The object pixel is not known.
        """
        if self.object_pixel is None:
            raise ValueError("positions in metres need an object pixel")
        metres: Float64[ndarray, "position 2"] = positions * np.asarray(self.object_pixel) + np.asarray(self.origin)
        return metres


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
