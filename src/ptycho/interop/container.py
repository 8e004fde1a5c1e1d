"""Groups of patterns as the arrays that older clients look at, and back to a scan."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.base.atomic import atomic_path
from ptycho.base.errors import ConfigError, DataError
from ptycho.config.training import TrainingConfig
from ptycho.grouping.sampling import enough_neighbours
from ptycho.interop.frames import framed
from ptycho.interop.raw_data import ScanData

REQUIRED = ("X_full", "coords_relative", "coords_offsets", "nn_indices")


@runtime_checkable
class GivesAcquisition(Protocol):
    """Whatever a client holds that a scan can be made of."""

    def acquisition(self, nphotons: float | None = None) -> Acquisition:
        """Return the scan; ``nphotons`` are the mean counts of a frame where nothing else says them."""


class GroupArrays:
    """Groups of patterns, channel-last; pairs are [x, y] px and relative ones are *minus* the distance to the mean.

    Parameters
    ----------
    X
        (group, y, x, member) float32: normalised amplitude, mean energy N^2 / 4.
    Y_I, Y_phi
        Amplitude and phase, rad, of the true patches, as X; ones and zeros where ``known_truth`` is false.
    norm_Y_I, YY_full
        Carried for clients: a normalisation of Y, and the object (height, width) of the scan.
    coords_nominal, coords_true
        (group, 1, 2, member): members relative to their group's mean, by the nominal and by the true positions.
    nn_indices
        (group, member): patterns of the scan that the members are.
    global_offsets, local_offsets
        (group, 1, 2, 1) and (group, 1, 2, member) float64: the mean of every group, which remembers the frame of the
        object, and members relative to it.
    probeGuess
        (mode, y, x) or (y, x), in the unit of the scan's amplitude.
    Y
        The true patches themselves, complex64, where they are at hand.
    bad_pixels
        (y, x), True where the detector can't be trusted; None where all can.
    """

    def __init__(
        self,
        X: NDArray[Any],
        Y_I: NDArray[Any],
        Y_phi: NDArray[Any],
        norm_Y_I: Any,
        YY_full: NDArray[Any] | None,
        coords_nominal: NDArray[Any],
        coords_true: NDArray[Any],
        nn_indices: NDArray[Any],
        global_offsets: NDArray[Any],
        local_offsets: NDArray[Any],
        probeGuess: NDArray[Any],
        *,
        Y: NDArray[Any] | None = None,
        known_truth: bool = True,
        bad_pixels: NDArray[Any] | None = None,
    ) -> None:
        self.Y = (Y_I * np.exp(1j * Y_phi)).astype(np.complex64) if Y is None else Y
        self.X, self.Y_I, self.Y_phi, self.norm_Y_I, self.YY_full = X, Y_I, Y_phi, norm_Y_I, YY_full
        self.coords = self.coords_nominal = self.coords_relative = coords_nominal
        self.coords_true, self.nn_indices = coords_true, nn_indices
        self.global_offsets, self.local_offsets = global_offsets, local_offsets
        self.probe = np.asarray(probeGuess, np.complex64)
        self.known_truth, self.bad_pixels = known_truth, bad_pixels

    @property
    def centres(self) -> Float64[ndarray, "group 1 2 1"]:
        """``global_offsets`` as a plain array."""
        return np.asarray(self.global_offsets).view(ndarray)

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.X)

    def part(self, groups: slice) -> "GroupArrays":
        """Return some of the groups."""
        return GroupArrays(
            self.X[groups],
            self.Y_I[groups],
            self.Y_phi[groups],
            self.norm_Y_I,
            self.YY_full,
            self.coords_nominal[groups],
            self.coords_true[groups],
            self.nn_indices[groups],
            self.global_offsets[groups],
            self.local_offsets[groups],
            self.probe,
            Y=self.Y[groups],
            known_truth=self.known_truth,
            bad_pixels=self.bad_pixels,
        )

    def acquisition(self, nphotons: float | None = None) -> Acquisition:
        """Return the scan that the groups were drawn from, every pattern once, in the order of their indices.

        True patches go with it where there is no object to cut them from. ``nphotons`` are the mean counts of a frame,
        used when the amplitudes don't say it themselves.
        """
        first = np.unique(self.nn_indices.reshape(-1), return_index=True)[1]
        amplitude, truth = (
            np.moveaxis(grouped, -1, 1).reshape(-1, *self.X.shape[1:3])[first] for grouped in (self.X, self.Y)
        )
        xy = (self.centres - self.local_offsets)[:, 0]
        positions = np.moveaxis(xy, 1, -1).reshape(-1, 2)[first, ::-1]
        return acquisition_from_arrays(
            amplitude,
            np.ascontiguousarray(positions),
            self.probe,
            bad_pixels=self.bad_pixels,
            object_=self.YY_full,
            labels=truth if self.known_truth and self.YY_full is None else None,
            nphotons=nphotons,
        )

    def to_npz(self, path: Path | str) -> None:
        """Write the arrays by their names, whole or not at all."""
        names = ("X", "Y_I", "Y_phi", "coords_nominal", "coords_true", "nn_indices", "global_offsets", "local_offsets")
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in names}
        with atomic_path(Path(path)) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays, probe=self.probe)


def group_arrays(grouped: Mapping[str, Any], probe: NDArray[Any]) -> GroupArrays:
    """Return the arrays of a grouped dictionary (`ptycho.raw_data.RawData.generate_grouped_data`).

    Raises
    ------
    DataError
        Keys are missing, or X and Y don't have one shape.
    TypeError
        X_full is not float32.
    ValueError
        Y is not complex64.
    """
    missing = [key for key in REQUIRED if key not in grouped]
    if missing:
        raise DataError(f"Missing required keys {missing} in the grouped data; give what generate_grouped_data returns")
    X, Y = np.asarray(grouped["X_full"]), grouped["Y"]
    if X.dtype != np.float32:
        raise TypeError(f"X_full has dtype {X.dtype}; expected float32; convert it")
    truth = np.ones(X.shape, np.complex64) if Y is None else np.asarray(Y)
    if truth.dtype != np.complex64:
        raise ValueError(f"DATA-001 violation: Y has dtype {truth.dtype}; expected complex64; convert it")
    if truth.shape != X.shape:
        raise DataError(
            f"found X of shape {X.shape} and Y of shape {truth.shape}, expected one shape; group them alike"
        )
    object_ = grouped.get("objectGuess")
    centres = np.asarray(grouped["coords_offsets"], np.float64)
    relative = np.asarray(grouped["coords_relative"], np.float64)
    return GroupArrays(
        X=X,
        Y_I=np.abs(truth),
        Y_phi=np.angle(truth),
        norm_Y_I=grouped.get("norm_Y_I"),
        YY_full=object_,
        coords_nominal=relative.astype(np.float32),
        coords_true=relative.astype(np.float32),
        nn_indices=np.asarray(grouped["nn_indices"]),
        global_offsets=centres if object_ is None else framed(centres, object_.shape),
        local_offsets=relative,
        probeGuess=probe,
        Y=truth,
        known_truth=Y is not None,
        bad_pixels=grouped.get("bad_pixels"),
    )


def load(
    call: Callable[[], Any], probe: NDArray[Any], which: str | None = None, create_split: bool = False
) -> GroupArrays:
    """Return the container of the grouped dictionary that ``call`` returns.

    Parameters
    ----------
    which, create_split
        With ``create_split`` the call returns (dictionary, fraction), and ``which`` asks for the groups before that
        fraction ("train") or for those after it ("test").

    Raises
    ------
    ConfigError
        ``which`` is neither.
    DataError
        The dictionary can't be used.
    """
    if not create_split:
        return group_arrays(call(), probe)
    grouped, fraction = call()
    whole = group_arrays(grouped, probe)
    border = int(len(whole) * fraction)
    parts = {"train": slice(None, border), "test": slice(border, None)}
    if which not in parts:
        raise ConfigError(f"which is {which!r}; expected 'train' or 'test' of a split; name one of them")
    return whole.part(parts[which])


def group_scan(raw: ScanData, config: TrainingConfig) -> dict[str, Any]:
    """Draw the groups of a scan as a configuration says; without oversampling no position is a seed twice."""
    n_positions, size = len(raw.xcoords), config.model.gridsize**2
    n_groups = config.n_groups or n_positions
    return raw.generate_grouped_data(
        config.model.N,
        K=enough_neighbours(config.neighbor_count, least=size),
        nsamples=n_groups if config.enable_oversampling else min(n_groups, n_positions),
        seed=config.subsample_seed,
        sequential_sampling=config.sequential_sampling,
        gridsize=config.model.gridsize,
        enable_oversampling=config.enable_oversampling,
        neighbor_pool_size=config.neighbor_pool_size,
    )


def container_of(data: Any, config: TrainingConfig) -> GroupArrays:
    """Return the container of a scan, grouped as the configuration says; a container as it is.

    Raises
    ------
    TypeError
        It is neither.
    """
    if isinstance(data, ScanData):
        return group_arrays(group_scan(data, config), data.probeGuess)
    if not isinstance(data, GroupArrays):
        raise TypeError(f"data must be either RawData or PtychoDataContainer, found {type(data).__name__}")
    return data
