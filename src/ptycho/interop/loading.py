"""Read a scan as older scripts do: its axes turned, its scale changed, and a part of its positions taken."""

import logging
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.base.errors import ConfigError
from ptycho.interop.raw_data import ScanData

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=ScanData)


def load_data(
    kind: type[S],
    file_path: Path | str,
    n_images: int | None = None,
    n_subsample: int | None = None,
    flip_x: bool = False,
    flip_y: bool = False,
    swap_xy: bool = False,
    n_samples: int = 1,
    coord_scale: float = 1.0,
    subsample_seed: int | None = None,
) -> S:
    """Read a scan from a file of the documented npz layout, whole or a random part of its positions.

    Positions are changed in this order, patterns and probe never: x and y negated when flipped, exchanged when
    swapped, multiplied by ``coord_scale``. The positions that were taken stand in ``sample_indices``, in the order of
    the file, and nothing is written anywhere.

    Parameters
    ----------
    kind
        Class of the scan: `ScanData`, or the one that a door offers.
    file_path
        npz file; patterns (n, N, N), (n, N, N, 1) or (N, N, n).
    n_images, n_subsample
        Positions to take, at random; ``n_subsample`` wins, and without either all are taken.
    n_samples
        Kept for older scripts and not read.
    subsample_seed
        Seed of NumPy's legacy generator, so that older results are found again; None draws differently each time. The
        generator that all of NumPy shares is left alone.

    Raises
    ------
    ConfigError
        Fewer than one position is asked for.
    DataError
        The file can't be used.
    """
    raw = kind.from_file(file_path)
    raw.xcoords, raw.ycoords = _turned(raw.xcoords, raw.ycoords, flip_x, flip_y, swap_xy, coord_scale)
    if raw.xcoords_start is not None and raw.ycoords_start is not None:
        raw.xcoords_start, raw.ycoords_start = _turned(
            raw.xcoords_start, raw.ycoords_start, flip_x, flip_y, swap_xy, coord_scale
        )
    n_positions = len(raw.xcoords)
    if raw.Y is not None and len(raw.Y) != n_positions:
        logger.warning("Y has %d patches for %d positions; it is left out", len(raw.Y), n_positions)
        raw.Y = None
    raw.sample_indices = taken(n_positions, n_images if n_subsample is None else n_subsample, subsample_seed)
    raw.subsample_seed = subsample_seed
    if len(raw.sample_indices) < n_positions:
        _keep(raw, raw.sample_indices)
    return raw


def taken(n_positions: int, wanted: int | None, seed: int | None) -> Int64[ndarray, " position"]:
    """Return the indices of ``wanted`` positions drawn without replacement, in order; of all when that is enough.

    Raises
    ------
    ConfigError
        Fewer than one is wanted.
    """
    if wanted is not None and wanted < 1:
        raise ConfigError(f"found {wanted} positions to take, expected 1 or more; ask for more, or leave it out")
    if wanted is None or wanted >= n_positions:
        return np.arange(n_positions)
    return np.sort(np.random.RandomState(seed).choice(n_positions, size=wanted, replace=False)).astype(np.int64)


def _turned(
    x: NDArray[np.number], y: NDArray[np.number], flip_x: bool, flip_y: bool, swap_xy: bool, scale: float
) -> tuple[NDArray[np.number], NDArray[np.number]]:
    x, y = (-x if flip_x else x), (-y if flip_y else y)
    if swap_xy:
        x, y = y, x
    return scale * x, scale * y


def _keep(raw: ScanData, indices: Int64[ndarray, " position"]) -> None:
    raw.xcoords, raw.ycoords = raw.xcoords[indices], raw.ycoords[indices]
    raw.diff3d, raw.scan_index = raw.diff3d[indices], raw.scan_index[indices]
    if raw.xcoords_start is not None and raw.ycoords_start is not None:
        raw.xcoords_start, raw.ycoords_start = raw.xcoords_start[indices], raw.ycoords_start[indices]
    if raw.Y is not None:
        raw.Y = raw.Y[indices]
