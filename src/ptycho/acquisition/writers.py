"""Write a scan in the documented npz layout."""

from pathlib import Path
from typing import Any

import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.atomic import atomic_path


def write_npz(path: Path, acquisition: Acquisition) -> None:
    """Write a scan as npz, uncompressed, whole or not at all; reading it gives the same acquisition back.

    The keys are those of the documented layout, with ``quantity``, ``count_scale`` and ``origin`` beside them so that
    nothing has to be decided again. ``probeGuess`` is in the unit of the patterns' amplitude; ``nphotons`` is the mean
    counts of a frame.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    y, x = acquisition.positions.T
    extras: dict[str, Any] = {}
    if acquisition.object_ is not None:
        extras["objectGuess"] = acquisition.object_
    if not acquisition.mask.all():
        extras["bad_pixels"] = ~acquisition.mask
    with atomic_path(Path(path)) as partial, partial.open("wb") as stream:
        np.savez(
            stream,
            diff3d=acquisition.patterns,
            xcoords=x,
            ycoords=y,
            xcoords_start=x,
            ycoords_start=y,
            probeGuess=_file_probe(acquisition),
            scan_index=np.zeros(acquisition.n_positions, np.int64),
            nphotons=np.float64(acquisition.counts_per_frame().mean(dtype=np.float64)),
            quantity=np.str_(acquisition.quantity),
            count_scale=np.float64(acquisition.count_scale),
            origin=np.str_(acquisition.origin),
            **extras,
        )


def _file_probe(acquisition: Acquisition) -> Any:
    if acquisition.quantity == "counts" or acquisition.count_scale == 1:
        return acquisition.probe
    # Double precision, so that multiplying by the scale again gives the same complex64.
    return acquisition.probe.astype(np.complex128) / acquisition.count_scale
