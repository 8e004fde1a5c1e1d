"""Read the npz layout of the tike package: data, scan and probe of one angle, as published scans use it."""

import numpy as np

from ptycho.acquisition.build import check_real
from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.archive import Archive
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.intensity import CountRule

REQUIRED = ("data", "scan", "probe")


def recognise(source: Source) -> bool:
    """Say whether the file has this layout."""
    return isinstance(source, Archive) and all(key in source for key in REQUIRED)


def read(source: Source, reading: Reading) -> Parts:
    """Read a scan in tike's layout, npz or npz.bz2.

    ``data`` (1, n, N, N) holds counts with zero frequency at [0, 0]; ``scan`` (1, n, 2) the (row, column) of every
    patch's corner, px, against a free origin; ``probe`` (1, 1, 1, mode, N, N) a probe of free scale.

    Raises
    ------
    DataError
        The file can't be used.
    """
    data, scan, probe = (source[key] for key in REQUIRED)
    if data.ndim != 4 or scan.ndim != 3 or probe.ndim != 6 or {len(data), len(scan), *probe.shape[:3]} != {1}:
        raise DataError(
            f"found data {data.shape}, scan {scan.shape} and probe {probe.shape}, expected "
            "(1, n, N, N), (1, n, 2) and (1, 1, 1, mode, N, N); store one angle in one file"
        )
    check_real("positions", scan)
    return Parts(
        source=name_of(source),
        patterns=np.fft.fftshift(data[0], axes=(-2, -1)),
        positions=scan[0] + np.float64(data.shape[-1] // 2),
        probe=probe[0, 0, 0],
        probe_scale="free",
        rule=CountRule("counts", 1.0, "counts: the layout holds detector counts"),
    )
