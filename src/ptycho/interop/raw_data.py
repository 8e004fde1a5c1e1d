"""A scan as older clients build, store and group it: columns and rows apart, groups as channel-last arrays."""

import logging
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition, Quantity
from ptycho.acquisition.build import align_frames, usable_labels
from ptycho.acquisition.centring import from_middle
from ptycho.acquisition.readers.archive import open_archive
from ptycho.acquisition.readers.metadata import usable_metadata
from ptycho.acquisition.readers.npz import scan_arrays
from ptycho.acquisition.scan_arrays import ScanArrays
from ptycho.acquisition.writers.npz import npz_path, write_arrays
from ptycho.assembly.bilinear import cut
from ptycho.base.errors import DataError
from ptycho.config.training import TrainingConfig
from ptycho.grouping.compatible import draw_groups_legacy
from ptycho.grouping.materialise import channels_last, materialise
from ptycho.interop.metadata import validate_parameters
from ptycho.interop.requests import check_request
from ptycho.optics.intensity import CountRule, quantity

logger = logging.getLogger(__name__)

Array = NDArray[Any]
S = TypeVar("S", bound="ScanData")


class ScanData:
    """A scan: positions ``xcoords`` (columns) and ``ycoords`` (rows) in px, patterns ``diff3d``, ``probeGuess``.

    ``diff3d`` is (n, N, N), amplitude or counts in any real dtype; ``probeGuess`` (N, N) or (mode, N, N).
    ``objectGuess`` (height, width) is a true or reference object, ``Y`` (n, N, N) the true patches. ``norm_Y_I`` and
    ``metadata`` are carried and not looked at. ``bad_pixels``, ``nphotons`` and ``rule`` are what a file says of its
    patterns.

    Raises
    ------
    DataError
        Shapes disagree.
    """

    def __init__(
        self,
        xcoords: Array,
        ycoords: Array,
        xcoords_start: Array | None,
        ycoords_start: Array | None,
        diff3d: Array,
        probeGuess: Array,
        scan_index: Array,
        objectGuess: Array | None = None,
        Y: Array | None = None,
        norm_Y_I: Any = None,
        metadata: Any = None,
    ) -> None:
        shapes = {np.shape(c) for c in (xcoords, ycoords, xcoords_start, ycoords_start) if c is not None}
        if len(shapes) > 1 or len(next(iter(shapes))) != 1:
            raise DataError(f"Coordinate arrays must have matching shapes. Found {sorted(shapes)}; give (n,) each")
        if probeGuess.ndim not in (2, 3):
            raise DataError(
                f"found probeGuess of shape {probeGuess.shape}, expected (N, N) or (mode, N, N); reshape it"
            )
        if objectGuess is not None and objectGuess.ndim != 2:
            raise DataError(f"found objectGuess of shape {objectGuess.shape}, expected (height, width); give one layer")
        self.xcoords, self.ycoords = xcoords, ycoords
        self.xcoords_start, self.ycoords_start = xcoords_start, ycoords_start
        self.diff3d = align_frames(diff3d, len(xcoords))
        self.probeGuess, self.scan_index, self.objectGuess, self.Y = probeGuess, scan_index, objectGuess, Y
        self.norm_Y_I, self.metadata = norm_Y_I, metadata
        self.bad_pixels: Array | None = None
        self.nphotons: float | None = None
        self.rule: CountRule | None = None
        self.sample_indices: Array | None = None
        self.subsample_seed: int | None = None
        self._held: Quantity | None = None

    @classmethod
    def from_coords_without_pc(
        cls: type[S],
        xcoords: Array,
        ycoords: Array,
        diff3d: Array,
        probeGuess: Array,
        scan_index: Array,
        objectGuess: Array | None = None,
    ) -> S:
        """Return a scan whose nominal positions are its positions.

        With a probe (mode, N, N) the caller is Ptychodus, whose positions name the middle of a patch: they are moved to
        name index N // 2 (`ptycho.acquisition.centring`). Older scripts give a probe (N, N).
        """
        if probeGuess.ndim == 3:
            xcoords, ycoords = from_middle(xcoords, ycoords, probeGuess.shape[-1])
        return cls(xcoords, ycoords, xcoords, ycoords, diff3d, probeGuess, scan_index, objectGuess)

    @classmethod
    def from_file(
        cls: type[S], path: Path | str, validate_config: bool = False, current_config: TrainingConfig | None = None
    ) -> S:
        """Read a file of the documented npz layout; a ``DataError`` says what is wrong with it.

        With ``validate_config`` a parameter of ``current_config`` that the file's metadata contradict is warned about.
        """
        with open_archive(Path(path)) as archive:
            stored = scan_arrays(archive)
            raw = cls(
                xcoords=stored.x,
                ycoords=stored.y,
                xcoords_start=stored.x if stored.x_start is None else stored.x_start,
                ycoords_start=stored.y if stored.y_start is None else stored.y_start,
                diff3d=stored.patterns,
                probeGuess=stored.probe,
                scan_index=np.zeros(stored.x.shape[:1], int) if stored.scan_index is None else stored.scan_index,
                objectGuess=stored.object_,
                Y=stored.labels,
                metadata=usable_metadata(archive),
            )
            raw.bad_pixels, raw.nphotons, raw.rule = stored.bad_pixels, stored.nphotons, stored.rule
        if validate_config and current_config is not None:
            validate_parameters(raw.metadata, current_config)
        return raw

    @classmethod
    def from_files(cls: type[S], train: Path | str, test: Path | str) -> tuple[S, S]:
        """Read two files, to train on and to judge by."""
        return cls.from_file(train), cls.from_file(test)

    def to_file(self, path: Path | str) -> None:
        """Write the documented npz layout, whole or not at all; ".npz" is added where ``path`` does not end in it."""
        write_arrays(npz_path(path), self._arrays())

    def acquisition(self, nphotons: float | None = None) -> Acquisition:
        """Return the scan as the rooms know it; ``nphotons`` as in ``ptycho.acquisition.readers.read``."""
        acquisition = self._arrays().acquisition(nphotons)
        self._tell(acquisition.quantity, acquisition.origin)
        return acquisition

    def default_gridsize(self) -> int:
        """Return the gridsize of groups where a call does not say it."""
        return 1

    def _quantity(self) -> Quantity:
        if self._held is None:
            good = np.ones(self.diff3d.shape[1:], bool) if self.bad_pixels is None else ~self.bad_pixels.astype(bool)
            held = self.rule.quantity if self.rule else quantity(self.diff3d, good)
            self._tell(held, f"{held} ({self.diff3d.dtype})")
        assert self._held is not None
        return self._held

    def _tell(self, held: Quantity, why: str) -> None:
        """Say once what the patterns hold: older clients hand over counts where amplitude was agreed upon."""
        if self._held is None:
            logger.info("the patterns are taken for %s", why)
        self._held = held

    def generate_grouped_data(
        self,
        N: int,
        K: int = 4,
        nsamples: int = 1,
        dataset_path: str | None = None,
        seed: int | None = None,
        sequential_sampling: bool = False,
        gridsize: int | None = None,
        enable_oversampling: bool = False,
        neighbor_pool_size: int | None = None,
    ) -> dict[str, Any]:
        """Draw groups of gridsize^2 positions and copy their patterns, channel-last; pairs are [x, y] px.

        ``coords_relative`` is *minus* the distance from the group's mean; ``X_full`` is the amplitude (the square root
        where ``diff3d`` holds counts) at a mean energy of N^2 / 4, zero in bad pixels; ``Y`` holds the true patches at
        the positions themselves, or None. ``dataset_path`` is not used: nothing is cached.
        """
        gridsize = self.default_gridsize() if gridsize is None else gridsize
        arrays = self._arrays()
        check_request(arrays, N=N, nsamples=nsamples, gridsize=gridsize, seed=seed)
        if nsamples == 1 < len(self.xcoords):
            logger.warning(
                "1 group of a scan of %d patterns is asked for, so the image will be one patch; ask for %d to have all "
                "(nsamples; NumSamples in Ptychodus)",
                len(self.xcoords),
                len(self.xcoords),
            )
        indices = draw_groups_legacy(
            arrays.positions[:, 1],
            arrays.positions[:, 0],
            n_groups=nsamples,
            n_neighbours=K,
            size=gridsize**2,
            seed=seed,
            sequential=sequential_sampling,
            oversampling=enable_oversampling,
            pool=neighbor_pool_size,
        )
        scan = (self.diff3d, self._quantity(), arrays.positions, arrays.start_positions, N, self.bad_pixels)
        grouped = materialise(indices, *scan)
        grouped |= {"Y": self._truth(indices, arrays.positions, N), "objectGuess": self.objectGuess}
        return grouped if self.sample_indices is None else grouped | {"sample_indices": self.sample_indices}

    def _arrays(self) -> ScanArrays:
        return ScanArrays(
            patterns=self.diff3d,
            x=self.xcoords,
            y=self.ycoords,
            probe=self.probeGuess,
            x_start=self.xcoords_start,
            y_start=self.ycoords_start,
            object_=self.objectGuess,
            labels=self.Y,
            scan_index=self.scan_index,
            bad_pixels=self.bad_pixels,
            nphotons=self.nphotons,
            rule=self.rule,
        )

    def _truth(self, indices: Array, positions: Array, N: int) -> Array | None:
        labels = None if self.Y is None else usable_labels(self.Y, len(self.xcoords), self.diff3d.shape[-1])
        if labels is not None:
            return channels_last(indices, labels)
        if self.objectGuess is None:
            return None
        object_ = self.objectGuess.astype(np.complex64)
        return np.stack([cut(object_, positions[members], N) for members in indices.T], axis=-1)
