"""Copy the patterns of groups into the channel-last arrays of the older interface, with its normalisation and signs."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Shaped
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.acquisition.build import check_finite, check_not_negative
from ptycho.base.arrays import Positions
from ptycho.optics.intensity import frame_energy, normalisation


def materialise(
    indices: Int[ndarray, "group member"],
    patterns: Shaped[ndarray, "position y x"],
    quantity: Literal["counts", "amplitude"],
    positions: Positions,
    start_positions: Positions | None,
    size: int,
    bad_pixels: Bool[ndarray, "y x"] | None = None,
) -> dict[str, Any]:
    """Return groups as the dictionary of the older interface; its pairs are [x, y] px.

    Keys: ``diffraction`` (group, y, x, member) as stored; ``X_full`` the same as normalised amplitude;
    ``nn_indices``; ``coords_nn``, ``coords_offsets``, ``coords_relative`` as ``coordinates`` gives them, and
    ``coords_start_...`` from the nominal positions, None without these.

    Parameters
    ----------
    indices, patterns, positions
        Groups, patterns, and positions (y, x) px.
    quantity
        What the patterns hold; the root of counts is taken for ``X_full``.
    start_positions
        Nominal positions (y, x) px.
    size
        N of the normalisation, px.
    bad_pixels
        True where the detector can't be trusted: zero in ``X_full``, and in the dictionary for those that look for it.

    Raises
    ------
    DataError
        A pattern has NaN, infinity or a negative value, or the groups hold no light.
    """
    grouped = channels_last(indices, patterns)
    check_finite("patterns", grouped)
    check_not_negative(grouped)
    amplitude = grouped if quantity == "amplitude" else np.sqrt(grouped.astype(np.float32))
    if bad_pixels is not None:
        amplitude = np.where(bad_pixels.astype(bool)[..., None], 0, amplitude)
    absolute, mean, relative = coordinates(indices, positions)
    started = (None, None, None) if start_positions is None else coordinates(indices, start_positions)
    return {
        "diffraction": grouped,
        "X_full": normalise(amplitude, size),
        "nn_indices": indices,
        "coords_nn": absolute,
        "coords_offsets": mean,
        "coords_relative": relative,
        "coords_start_nn": started[0],
        "coords_start_offsets": started[1],
        "coords_start_relative": started[2],
        **({} if bad_pixels is None else {"bad_pixels": bad_pixels}),
    }


def normalise(amplitude: Shaped[ndarray, "group y x member"], size: int) -> Float32[ndarray, "group y x member"]:
    """Bring grouped amplitudes to a mean energy of N^2 / 4: ``k A``, ``k = sqrt((N / 2)^2 / mean sum_{y,x} A^2)``.

    The mean runs over groups and members, so one number serves all; it is summed in float64 whatever the dtype.

    Parameters
    ----------
    amplitude
        Amplitudes, channel-last.
    size
        N of the formula, px.

    Raises
    ------
    DataError
        The groups hold no light.
    """
    energy = np.mean([frame_energy(amplitude[..., member]) for member in range(amplitude.shape[-1])])
    return np.float32(normalisation(float(energy), size)) * amplitude.astype(np.float32)


def channels_last(
    indices: Int[ndarray, "group member"], frames: Shaped[ndarray, "position y x"]
) -> Shaped[ndarray, "group y x member"]:
    """Return the frames of every group with the member as last axis."""
    grouped: NDArray[Any] = np.moveaxis(frames[indices], 1, -1)
    return np.ascontiguousarray(grouped)


def coordinates(
    indices: Int[ndarray, "group member"], positions: Positions
) -> tuple[Float64[ndarray, "group 1 2 member"], Float64[ndarray, "group 1 2 1"], Float64[ndarray, "group 1 2 member"]]:
    """Return positions of groups as [x, y] pairs: absolute, mean over members, and *minus* the distance from the mean.

    ``positions`` are (y, x) px.
    """
    absolute = np.ascontiguousarray(np.moveaxis(positions[indices][..., ::-1], 1, -1))[:, None]
    mean = absolute.mean(axis=3, keepdims=True)
    return absolute, mean, -(absolute - mean)
