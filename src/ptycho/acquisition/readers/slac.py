"""Read the npz layout of SLAC and LCLS: the documented names, frames on the last axis, lengths, positions px or m."""

from dataclasses import replace

import numpy as np

from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import ELECTRON_VOLTS, METRES, coordinates, numbers, pair, quantity, waves
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry

PATTERNS = "diffraction"
POSITIONS = (("ycoords", "xcoords"), ("ycoords_start", "xcoords_start"))
DISTANCE, PIXEL, ENERGIES = "detector_distance_m", "detector_pixel_size_m", ("photon_energy_eV", "probe_energy_ev")
# The rule, and the lengths of files that don't state them, are those of Ptychodus 1.7.0.
LARGEST_IN_METRES = 1e-3
USUAL = Geometry(energy=8000.0, distance=0.75, detector_pixel=(75e-6, 75e-6))


def recognise(source: Source) -> bool:
    """Say whether a file has this layout: in the documented one there are no lengths, and positions are px."""
    keys = _positions(source)
    if PATTERNS not in source or "diff3d" in source or keys is None:
        return False
    stated = any(key in source for key in (DISTANCE, PIXEL, *ENERGIES))
    return stated or keys != POSITIONS[0] or _in_metres(source, keys)


def read(source: Source, reading: Reading) -> Parts:
    """Read a scan; positions of at most 1e-3 are metres, others pixels that index ``objectGuess``.

    Raises
    ------
    DataError
        The file can't be used.
    """
    keys = _positions(source)
    assert keys is not None
    patterns, positions = numbers(source, PATTERNS, 3), coordinates(source, *keys)
    metres = _in_metres(source, keys)
    geometry, notes = _supplied(_stated(source), reading) if metres else (_stated(source), ())
    return Parts(
        source=name_of(source),
        patterns=np.moveaxis(patterns, -1, 0) if patterns.shape[-1] == len(positions) else patterns,
        positions=positions,
        unit="m" if metres else "px",
        probe=waves(source, "probeGuess"),
        probe_scale="free",
        object_=None if metres else waves(source, "objectGuess"),
        geometry=geometry,
        notes=(f"{' and '.join(keys)} are {'metres' if metres else 'pixels'} by their values", *notes),
    )


def _positions(source: Source) -> tuple[str, str] | None:
    return next((pair for pair in POSITIONS if all(key in source for key in pair)), None)


def _in_metres(source: Source, keys: tuple[str, str]) -> bool:
    return bool(np.abs(coordinates(source, *keys)).max() <= LARGEST_IN_METRES)


def _stated(source: Source) -> Geometry:
    energies = [quantity(source, key, ELECTRON_VOLTS, "eV") for key in ENERGIES if key in source]
    return Geometry(
        energy=energies[0] if energies else None,
        distance=quantity(source, DISTANCE, METRES, "m"),
        detector_pixel=pair(source, PIXEL, METRES, "m"),
    )


def _supplied(stated: Geometry, reading: Reading) -> tuple[Geometry, tuple[str, ...]]:
    """Return the geometry that metres are made pixels with: what neither file nor user states is the usual."""
    lacking = [
        name
        for name in ("energy", "distance", "detector_pixel")
        if getattr(stated, name) is None and getattr(reading, name) is None
    ]
    usual = {name: getattr(USUAL, name) for name in lacking}
    notes = (
        f"no file states {name}: {value} is assumed, as in Ptychodus; give --{name}" for name, value in usual.items()
    )
    return replace(stated, **usual), tuple(notes)
