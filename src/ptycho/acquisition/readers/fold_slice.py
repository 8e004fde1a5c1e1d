"""Read the files of fold_slice: NAME_dp.hdf5 with the patterns, NAME_para.hdf5 with the rest, and reconstructions."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.centring import half_pixel
from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import METRES, coordinates, numbers, pair, quantity, waves
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry, energy_of

PATTERNS, POSITIONS = "dp", ("ppY", "ppX")
FOUND_POSITIONS = "outputs/probe_positions"  # of a reconstruction
SUFFIXES = ("_dp", "_para")
EIGER_PIXEL = 75e-6  # m; no file of the family states it, and all their detectors are Eigers


def recognise(source: Source) -> bool:
    """Say whether a file has one of these layouts; ``dp`` beside ``points`` is another one."""
    patterns = PATTERNS in source and "points" not in source
    return patterns or all(key in source for key in POSITIONS) or FOUND_POSITIONS in source


def neighbours(path: Path) -> tuple[Path, ...]:
    """Return the other of the two files of a scan, for a name that follows the custom."""
    for own, other in (SUFFIXES, SUFFIXES[::-1]):
        if path.stem.endswith(own):
            return (path.with_name(f"{path.stem.removesuffix(own)}{other}{path.suffix}"),)
    return ()


def read(source: Source, reading: Reading) -> Parts:
    """Read patterns, or positions with the wavelength and the object pixel, or a reconstruction.

    Positions are (y, x) in metres; the file states neither the detector pixel nor the distance.

    Raises
    ------
    DataError
        The file can't be used.
    """
    if FOUND_POSITIONS in source:
        return _reconstruction(source)
    if PATTERNS in source:
        return Parts(
            source=name_of(source),
            patterns=numbers(source, PATTERNS, 3),
            geometry=Geometry(detector_pixel=(EIGER_PIXEL, EIGER_PIXEL)),
            notes=(f"detector pixels of {EIGER_PIXEL:g} m are assumed, those of an Eiger: fold_slice states none",),
        )
    return Parts(
        source=name_of(source),
        positions=coordinates(source, *POSITIONS),
        unit="m",
        geometry=Geometry(energy=_energy(source, "lambda"), object_pixel=pair(source, "dx", METRES, "m")),
    )


def _reconstruction(source: Source) -> Parts:
    """Return what a reconstruction holds; its positions are (x, y) px about the middle of the object."""
    positions = _as_in_matlab(source, FOUND_POSITIONS, numbers(source, FOUND_POSITIONS, 2))
    probe, object_ = waves(source, "probe"), waves(source, "object")
    if probe is None or object_ is None or positions.shape[1] != 2:
        raise DataError(
            f"found {FOUND_POSITIONS} of shape {positions.shape}, probe {'and' if probe is not None else 'or'} object "
            "missing, expected all three, positions (n, 2); give a reconstruction of fold_slice"
        )
    probe, object_ = _as_in_matlab(source, "probe", probe), _as_in_matlab(source, "object", object_)
    middle = (np.array(object_.shape[:2]) - 1) / 2
    pixel = pair(source, "p/dx_spec", METRES, "m")  # x first
    flat = object_.size == np.prod(object_.shape[:2])
    return Parts(
        source=name_of(source),
        positions=positions[:, ::-1] + middle + half_pixel(len(probe)),
        probe=_modes(probe),
        probe_scale="free",
        object_=object_.reshape(object_.shape[:2]) if flat else None,
        geometry=Geometry(energy=_energy(source, "p/lambda"), object_pixel=None if pixel is None else pixel[::-1]),
        notes=() if flat else (f"the object of shape {object_.shape} is left out: it has layers",),
    )


def _modes(probe: NDArray[Any]) -> NDArray[Any]:
    """Return the modes (mode, y, x) of a probe (y, x[, mode[, variation]]); of variations the first, the mean one."""
    mean = probe[..., 0] if probe.ndim == 4 else probe
    return np.moveaxis(mean, -1, 0) if mean.ndim == 3 else mean[None]


def _energy(source: Source, key: str) -> float | None:
    wavelength = quantity(source, key, METRES, "m")
    return None if wavelength is None else energy_of(wavelength)


def _as_in_matlab(source: Source, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array with its axes as in MATLAB, which writes them to HDF5 from last to first."""
    return array if source.attribute(key, "MATLAB_class") is None else array.T
