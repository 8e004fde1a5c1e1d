"""Sub-pixel shift of a field through its Fourier transform."""

from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray
from numpy.typing import NDArray


def shift_phase(shape: tuple[int, int], shifts: Float[ndarray, "*batch 2"]) -> Complex[ndarray, "*batch y x"]:
    """Return the factors ``exp(-2 pi i (k_y d_y + k_x d_x))`` that shift by ``shifts`` (y, x) px in Fourier space.

    All have modulus 1, the Nyquist frequency included, so that the shift is unitary and shifts add up.
    """
    rows = _ramp(shape[0], shifts[..., 0])
    columns = _ramp(shape[1], shifts[..., 1])
    phase: NDArray[Any] = rows[..., :, None] * columns[..., None, :]
    return phase


def fourier_shift(
    field: Complex[ndarray, "*#batch y x"], shifts: Float[ndarray, "*batch 2"]
) -> Complex[ndarray, "*batch y x"]:
    """Move the content of ``field`` by +``shifts`` (y, x) px: exact for band-limited fields, periodic at the edges."""
    phase = shift_phase((field.shape[-2], field.shape[-1]), shifts)
    return np.fft.ifft2(np.fft.fft2(field) * phase.astype(field.dtype))


def _ramp(size: int, shift: Float[ndarray, "*batch"]) -> NDArray[Any]:
    ramp: NDArray[Any] = np.exp(-2j * np.pi * np.fft.fftfreq(size) * shift[..., None])
    return ramp
