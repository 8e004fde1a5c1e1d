"""Read the files of NSLS-II beamline 3-ID: two styles of HDF5, and MATLAB 7.3."""

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import ELECTRON_VOLTS, METRES, numbers, pair, quantity, waves
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry, energy_of
from ptycho.optics.intensity import CountRule

STYLE_1, SCAN_POSITIONS = ("entry/data/data", "diff_data/merlin1/det_images"), "scan/scan_positions"
AMPLITUDE, INTENSITY, POINTS = "diffamp", "dp", "points"
MATLAB, MATLAB_POSITIONS = "det_data", "pos_xy"
RULES = {
    AMPLITUDE: CountRule("amplitude", 1.0, "amplitude: diffamp holds the roots of the counts"),
    INTENSITY: CountRule("counts", 1.0, "counts: dp holds the intensity"),
}


def recognise(source: Source) -> bool:
    """Say whether a file has one of the three layouts."""
    style_2 = AMPLITUDE in source or (INTENSITY in source and POINTS in source)
    return style_2 or SCAN_POSITIONS in source or MATLAB in source


def read(source: Source, reading: Reading) -> Parts:
    """Read a scan; positions are (x, y) in micrometres, one a column.

    Raises
    ------
    DataError
        The file can't be used.
    """
    if MATLAB in source:
        return _matlab(source)
    return _style_1(source) if SCAN_POSITIONS in source else _style_2(source)


def _style_1(source: Source) -> Parts:
    key = next((key for key in STYLE_1 if key in source), None)
    return Parts(
        source=name_of(source),
        patterns=None if key is None else numbers(source, key, 3),
        positions=_metres(source, SCAN_POSITIONS, rows=(1, 0)),
        unit="m",
        geometry=Geometry(energy=quantity(source, "scan/energy", ELECTRON_VOLTS, "eV")),
    )


def _style_2(source: Source) -> Parts:
    key = AMPLITUDE if AMPLITUDE in source else INTENSITY
    wavelength = quantity(source, "lambda_nm", METRES, "nm")
    return Parts(
        source=name_of(source),
        patterns=numbers(source, key, 3),
        rule=RULES[key],
        positions=_metres(source, POINTS, rows=(1, 0)) if POINTS in source else None,
        unit="m",
        geometry=Geometry(
            energy=None if wavelength is None else energy_of(wavelength),
            distance=quantity(source, "z_m", METRES, "m"),
            detector_pixel=pair(source, "ccd_pixel_um", METRES, "um"),
        ),
    )


def _matlab(source: Source) -> Parts:
    height, width = (quantity(source, f"img_pixel_size_{axis}", METRES, "m") for axis in "yx")
    return Parts(
        source=name_of(source),
        patterns=numbers(source, MATLAB, 3),
        positions=_metres(source, MATLAB_POSITIONS, rows=(2, 1)) if MATLAB_POSITIONS in source else None,
        unit="m",
        probe=waves(source, "prb"),
        probe_scale="free",
        geometry=Geometry(
            energy=quantity(source, "energy", ELECTRON_VOLTS, "keV"),
            distance=quantity(source, "det_dist", METRES, "um"),
            detector_pixel=pair(source, "det_pixel_size", METRES, "um"),
            object_pixel=None if height is None or width is None else (height, width),
        ),
    )


def _metres(source: Source, key: str, rows: tuple[int, int]) -> NDArray[np.float64]:
    """Return positions (n, 2), (y, x) m, from the ``rows`` of an array (row, n) in um that hold y and x."""
    array = numbers(source, key, 2)
    if len(array) <= max(rows):
        raise DataError(f"found {key!r} of shape {array.shape}, expected ({max(rows) + 1}, n); transpose or correct it")
    return np.stack([array[row] for row in rows], axis=1) * 1e-6
