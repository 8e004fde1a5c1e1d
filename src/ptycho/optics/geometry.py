"""Metres: photon energy, distance, detector pixels, and the pixel of the object that follows from them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ptycho.base.errors import DataError

PLANCK = 6.62607015e-34  # J s, exact in the SI
LIGHT = 299_792_458.0  # m / s, exact
ELECTRON_VOLT = 1.602176634e-19  # J, exact
ENERGY_TIMES_LENGTH = PLANCK * LIGHT / ELECTRON_VOLT  # eV m, of a photon and its wave
ABSURD = 1e20  # neither energies in eV nor lengths in m are larger, or smaller than one over it

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

    def __post_init__(self) -> None:
        """Refuse what is no length or energy, so that no later step divides by it."""
        for name in ("energy", "distance", "detector_pixel", "object_pixel"):
            value = getattr(self, name)
            if value is not None and not all(1 / ABSURD < each < ABSURD for each in np.atleast_1d(value)):
                raise DataError(f"found {name} = {value}, expected finite numbers above 0; correct the file")
        if not np.isfinite(self.origin).all():
            raise DataError(f"found positions about {self.origin} m, expected finite numbers; correct the file")

    def completed(self, size: int) -> "Geometry":
        """Return the geometry with the one of distance and both pixels that follows from the others.

        In the far field of patterns of ``size`` px, and only where the energy and the two others are stated.
        """
        energy, distance, detector, pixel = self.energy, self.distance, self.detector_pixel, self.object_pixel
        if energy is None:
            return self
        if distance is None and detector and pixel:
            return replace(self, distance=size * detector[0] * pixel[0] / wavelength(energy))
        if distance is not None and detector and pixel is None:
            return replace(self, object_pixel=_conjugate(energy, distance, size, detector))
        if distance is not None and pixel and detector is None:
            return replace(self, detector_pixel=_conjugate(energy, distance, size, pixel))
        return self

    def known(self, size: int) -> "Lengths":
        """Return energy and lengths of which none is missing, for patterns of ``size`` px.

        Raises
        ------
        DataError
            Something is missing; the message says how to give it.
        """
        whole = self.completed(size)
        energy, distance, detector, pixel = whole.energy, whole.distance, whole.detector_pixel, whole.object_pixel
        if energy is None or distance is None or detector is None or pixel is None:
            stated = {"energy": energy, "distance": distance, "detector_pixel": detector or pixel}
            missing = [name for name, value in stated.items() if value is None]
            raise DataError(
                f"found a scan in pixels, expected {', '.join(missing)} for metres; "
                f"give ptycho convert SCAN SCAN.npz {' '.join(f'--{name} NUMBER' for name in missing)}"
            )
        return Lengths(energy, distance, detector, pixel, whole.origin)


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


def _conjugate(energy: float, distance: float, size: int, pixel: Pair) -> Pair:
    """Return the (y, x) pixel, m, on the other side of the far field: ``wavelength distance / (N pixel)``.

    From the detector's to the object's, and back; a `Geometry` has refused what is not above 0.
    """
    across = wavelength(energy) * distance / size
    return across / pixel[0], across / pixel[1]


def wavelength(energy: float) -> float:
    """Return the wavelength, m, of photons of ``energy`` eV: ``h c / E``.

    Examples
    --------
    >>> round(wavelength(12_398.42) * 1e10, 6)
    1.0
    """
    return ENERGY_TIMES_LENGTH / energy


def energy_of(wavelength: float) -> float:
    """Return the energy, eV, of photons of a ``wavelength`` in m."""
    return ENERGY_TIMES_LENGTH / wavelength
