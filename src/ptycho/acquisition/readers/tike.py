"""Read the npz layout of the tike package: data, scan and probe of one angle, as published scans use it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.acquisition.readers.archive import Archive, open_archive
from ptycho.base.arrays import Probe
from ptycho.base.errors import DataError
from ptycho.optics.intensity import CountRule
from ptycho.optics.probe import probe_intensity, probe_modes

REQUIRED = ("data", "scan", "probe")


def recognise(archive: Archive) -> bool:
    """Say whether the archive has this layout."""
    return all(key in archive for key in REQUIRED)


def read_tike(path: Path, nphotons: float | None = None) -> Acquisition:
    """Read a scan in tike's layout, npz or npz.bz2.

    ``data`` (1, n, N, N) holds counts with zero frequency at [0, 0]; ``scan`` (1, n, 2) the (row, column) of every
    patch's corner, px, against a free origin; ``probe`` (1, 1, 1, mode, N, N) a probe of free scale, which is set here
    so that its power is the mean counts of a frame.

    Raises
    ------
    DataError
        The file can't be used.
    """
    with open_archive(path) as archive:
        return from_archive(archive, nphotons)


def from_archive(archive: Archive, nphotons: float | None = None) -> Acquisition:
    """Read a scan from an open archive; ``nphotons`` is not looked at because the layout holds counts."""
    data, scan, probe = (archive[key] for key in REQUIRED)
    if data.ndim != 4 or scan.ndim != 3 or probe.ndim != 6 or {len(data), len(scan), *probe.shape[:3]} != {1}:
        raise DataError(
            f"found data {data.shape}, scan {scan.shape} and probe {probe.shape}, expected "
            "(1, n, N, N), (1, n, 2) and (1, 1, 1, mode, N, N); store one angle in one file"
        )
    acquisition = acquisition_from_arrays(
        np.fft.fftshift(data[0], axes=(-2, -1)),
        scan[0] + np.float64(data.shape[-1] // 2),
        probe[0, 0, 0],
        rule=CountRule("counts", 1.0, "counts: the layout holds detector counts"),
    )
    return replace(acquisition, probe=_calibrated(acquisition))


def _calibrated(acquisition: Acquisition) -> Probe:
    power = float(probe_intensity(acquisition.probe).sum())
    if not power > 0:
        raise DataError("found a probe without light, expected a guess of the probe; give one")
    counts = float(acquisition.counts_per_frame().mean(dtype=np.float64))
    return probe_modes(acquisition.probe, float(np.sqrt(counts / power)))
