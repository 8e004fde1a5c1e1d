"""Grouped patterns as the tensors that older clients look at, and back to a scan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex64, Float32, Float64, Int32
from numpy import ndarray
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.base.errors import DataError

REQUIRED = ("X_full", "coords_relative", "coords_offsets", "nn_indices")


@dataclass(frozen=True)
class GroupTensors:
    """Groups of patterns, channel-last; pairs are [x, y] px and ``local_offsets`` is minus the distance to the mean.

    Attributes
    ----------
    X
        Normalised amplitude, mean energy N^2 / 4.
    Y
        True patches; ones where there are none.
    local_offsets, global_offsets
        Members relative to their group's mean, and that mean.
    nn_indices
        Patterns of the scan that the members are.
    probe
        (mode, y, x) in the unit of X's file.
    """

    X: Float32[Tensor, "group y x member"]
    Y: Complex64[Tensor, "group y x member"]
    local_offsets: Float64[Tensor, "group 1 2 member"]
    global_offsets: Float64[Tensor, "group 1 2 1"]
    nn_indices: Int32[Tensor, "group member"]
    probe: Complex64[Tensor, "*mode y x"]


def group_tensors(grouped: Mapping[str, Any], probe: ndarray) -> GroupTensors:
    """Return the tensors of a grouped dictionary (`ptycho.raw_data.RawData.generate_grouped_data`).

    Raises
    ------
    DataError
        Keys are missing.
    TypeError
        X_full is not float32, or Y not complex64.
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
    return GroupTensors(
        X=torch.from_numpy(X),
        Y=torch.from_numpy(truth),
        local_offsets=torch.from_numpy(np.asarray(grouped["coords_relative"], np.float64)),
        global_offsets=torch.from_numpy(np.asarray(grouped["coords_offsets"], np.float64)),
        nn_indices=torch.from_numpy(np.asarray(grouped["nn_indices"], np.int32)),
        probe=torch.from_numpy(np.asarray(probe, np.complex64)),
    )


def scan_of_groups(groups: GroupTensors, nphotons: float | None) -> Acquisition:
    """Return the scan that groups were drawn from, every pattern once, in the order of their indices.

    Parameters
    ----------
    nphotons
        Mean counts of a frame, used when the amplitudes don't say it themselves.
    """
    first = np.unique(groups.nn_indices.numpy().reshape(-1), return_index=True)[1]
    amplitude = np.moveaxis(groups.X.numpy(), -1, 1).reshape(-1, *groups.X.shape[1:3])[first]
    xy = (groups.global_offsets - groups.local_offsets).numpy()[:, 0]
    positions = np.moveaxis(xy, 1, -1).reshape(-1, 2)[first, ::-1]
    return acquisition_from_arrays(amplitude, np.ascontiguousarray(positions), groups.probe.numpy(), nphotons=nphotons)
