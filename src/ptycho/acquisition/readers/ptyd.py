"""Read the prepared scans of PtyPy, .ptyd: patterns, weights and positions in chunks, each frame with its index."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers.fields import ELECTRON_VOLTS, METRES, numbers, pair, quantity
from ptycho.acquisition.readers.source import Source, name_of
from ptycho.base.errors import DataError
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry

CHUNK = re.compile(r"chunks/(\d+)/data")
UNEQUAL = "weights differ from frame to frame: a pixel is trusted where every frame trusts it"


def recognise(source: Source) -> bool:
    """Say whether a file has this layout."""
    return any(CHUNK.fullmatch(key) for key in source.keys)


def read(source: Source, reading: Reading) -> Parts:
    """Read a scan; positions are (y, x) in metres, and a weight of 0 marks a pixel that can't be trusted.

    Raises
    ------
    DataError
        The file can't be used.
    """
    chunks = [f"chunks/{number}" for number in sorted(int(m[1]) for m in map(CHUNK.fullmatch, source.keys) if m)]
    indexes = _joined(source, chunks, "indices", 1)
    order = np.argsort(indexes, kind="stable")
    placed = all(f"{chunk}/positions" in source for chunk in chunks)
    bad_pixels, notes = _untrusted(source, chunks)
    return Parts(
        source=name_of(source),
        patterns=_joined(source, chunks, "data", 3)[order],
        indexes=None if placed else indexes[order],
        bad_pixels=bad_pixels,
        positions=_joined(source, chunks, "positions", 2)[order] if placed else None,
        unit="m",
        geometry=Geometry(
            energy=quantity(source, "meta/energy", ELECTRON_VOLTS, "keV"),
            distance=quantity(source, "meta/distance", METRES, "m"),
            detector_pixel=pair(source, "meta/psize", METRES, "m"),
        ),
        notes=notes,
    )


def _joined(source: Source, chunks: list[str], name: str, n_axes: int) -> NDArray[Any]:
    """Return one array of all chunks, one after the other."""
    arrays = {f"{chunk}/{name}": numbers(source, f"{chunk}/{name}", n_axes) for chunk in chunks}
    first = next(iter(arrays.values()))
    for key, array in arrays.items():
        n_frames = numbers(source, key.replace(name, "indices"), 1).size
        if len(array) != n_frames or array.shape[1:] != first.shape[1:]:
            raise DataError(
                f"found {key!r} of shape {array.shape}, expected {(n_frames, *first.shape[1:])}, as of its indices "
                "and the first chunk; correct the chunk"
            )
    return np.concatenate(list(arrays.values()))


def _untrusted(source: Source, chunks: list[str]) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return the pixels that some frame doesn't trust, None where there are no weights, and what is to be said."""
    if not all(f"{chunk}/weights" in source for chunk in chunks):
        return None, ()
    untrusted = _joined(source, chunks, "weights", 3) == 0
    bad: NDArray[np.bool_] = untrusted.any(axis=0)
    return bad, () if np.array_equal(bad, untrusted.all(axis=0)) else (UNEQUAL,)
