"""Propagation of wave fields: the NumPy truth."""

from typing import Any

import numpy as np
from jaxtyping import Complex
from numpy import ndarray


def far_field(field: Complex[ndarray, "*stack y x"]) -> Complex[ndarray, "*stack y x"]:
    """Return the far field of an exit wave: unitary FFT over the last two axes, zero frequency at index N // 2.

    Parseval: sum(abs(far_field(field)) ** 2) == sum(abs(field) ** 2), so |P|^2 and the pattern share the unit counts.
    """
    far: ndarray[Any, Any] = np.fft.fftshift(np.fft.fft2(field, norm="ortho"), axes=(-2, -1))
    return far
