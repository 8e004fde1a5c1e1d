"""Write a scan in the documented npz layout."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.scan_arrays import FRAME_INDEX, GEOMETRY_KEYS, PATCH_INDEX, ScanArrays
from ptycho.base.atomic import atomic_path
from ptycho.base.blocks import blocks
from ptycho.optics.geometry import Geometry
from ptycho.optics.intensity import CountRule

PROBE_CONVENTION = (
    "The probe is for a unitary Fourier transform: the root of the sum over modes of abs(fft2(probe * patch, "
    "norm='ortho'))**2 is the amplitude in diff3d, or the square root of the counts in it."
)


def write_npz(path: Path, acquisition: Acquisition) -> None:
    """Write a scan as npz, uncompressed, whole or not at all; reading it gives the same acquisition back.

    The keys are those of the documented layout, with ``quantity``, ``count_scale`` and ``origin`` beside them so that
    nothing has to be decided again, and ``probe_convention``, which says in words what the probe is. ``probeGuess`` is
    in the unit of the patterns' amplitude; ``nphotons`` is the mean counts of a frame.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    write_keys(path, arrays_of(acquisition))


def arrays_of(acquisition: Acquisition) -> dict[str, NDArray[Any]]:
    """Return a scan as the arrays of the documented layout, by key."""
    y, x = acquisition.positions.T
    return _keys(
        ScanArrays(
            patterns=acquisition.patterns,
            x=x,
            y=y,
            x_start=x,
            y_start=y,
            probe=_file_probe(acquisition),
            object_=acquisition.object_,
            labels=acquisition.labels,
            scan_index=np.zeros(acquisition.n_positions, np.int64),
            bad_pixels=None if acquisition.mask.all() else ~acquisition.mask,
            nphotons=float(acquisition.counts_per_frame().mean(dtype=np.float64)),
            rule=CountRule(acquisition.quantity, acquisition.count_scale, acquisition.origin),
            geometry=acquisition.geometry,
            notes=acquisition.notes,
            indexes=acquisition.indexes,
        )
    )


def npz_path(path: Path | str) -> Path:
    """Return the file that older clients mean: NumPy adds ".npz" to a name that does not end in it.

    Examples
    --------
    >>> npz_path("scan").name, npz_path("scan.npz").name, npz_path("scan.2").name
    ('scan.npz', 'scan.npz', 'scan.2.npz')
    """
    path = Path(path)
    return path if path.name.endswith(".npz") else path.with_name(f"{path.name}.npz")


def write_arrays(path: Path, arrays: ScanArrays) -> None:
    """Write the arrays of the documented layout as npz, uncompressed, whole or not at all; what is None is left out.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    write_keys(path, _keys(arrays))


def write_keys(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays by key as npz, uncompressed, whole or not at all, each a block at a time.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    with atomic_path(Path(path)) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
                for part in npy_parts(array):
                    stream.write(part)


def npy_parts(array: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """Yield what an npy file of an array holds: its header, then its values a block at a time."""
    header = io.BytesIO()
    facts = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(header, facts)
    yield header.getvalue()
    for _, block in blocks(np.atleast_1d(array)):
        yield np.ascontiguousarray(block).data


def _keys(arrays: ScanArrays) -> dict[str, NDArray[Any]]:
    rule = arrays.rule
    keys = {
        "diff3d": arrays.patterns,
        "xcoords": arrays.x,
        "ycoords": arrays.y,
        "xcoords_start": arrays.x_start,
        "ycoords_start": arrays.y_start,
        "probeGuess": arrays.probe,
        "objectGuess": arrays.object_,
        "Y": arrays.labels,
        "scan_index": arrays.scan_index,
        "bad_pixels": arrays.bad_pixels,
        PATCH_INDEX: arrays.probe.shape[-1] // 2,
        "nphotons": arrays.nphotons,
        "quantity": rule and rule.quantity,
        "count_scale": rule and rule.count_scale,
        "origin": rule and rule.origin,
        "probe_convention": rule and PROBE_CONVENTION,
        "notes": arrays.notes or None,
        FRAME_INDEX: arrays.indexes,
        **geometry_keys(arrays.geometry),
    }
    return {key: np.asarray(value) for key, value in keys.items() if value is not None}


def geometry_keys(geometry: Geometry | None) -> dict[str, Any]:
    """Return the keys of energy and lengths in an npz of ours; None for what is not known."""
    return {} if geometry is None else {key: getattr(geometry, field) for key, field in GEOMETRY_KEYS.items()}


def _file_probe(acquisition: Acquisition) -> NDArray[Any]:
    if acquisition.quantity == "counts" or acquisition.count_scale == 1:
        return acquisition.probe
    # Double precision, so that multiplying by the scale again gives the same complex64.
    return acquisition.probe.astype(np.complex128) / acquisition.count_scale
