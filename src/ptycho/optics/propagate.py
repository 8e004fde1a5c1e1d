"""The forward model in NumPy: exit wave, far field, counts."""

from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray
from numpy.typing import NDArray


def far_field(field: Complex[ndarray, "*batch y x"]) -> Complex[ndarray, "*batch y x"]:
    """Propagate to the far field: unitary Fourier transform over the last two axes, zero frequency at index N // 2.

    ``F[psi] = fftshift(fft2(psi, norm="ortho"))``. The input is not shifted: that leaves out a linear phase of the
    detector wave, which no intensity can see. Unitary, so ``sum|F[psi]|^2 == sum|psi|^2``. Keeps the precision.
    """
    return np.fft.fftshift(np.fft.fft2(field, norm="ortho"), axes=(-2, -1))


def intensity(wave: Complex[ndarray, "*batch mode y x"]) -> Float[ndarray, "*batch y x"]:
    """Return the counts of detector waves whose modes are incoherent, ``sum_m |psi_m|^2``."""
    counts: NDArray[Any] = (np.square(wave.real) + np.square(wave.imag)).sum(axis=-3)
    return counts


def expected_counts(
    probe: Complex[ndarray, "*#batch mode y x"], patches: Complex[ndarray, "*batch y x"]
) -> Float[ndarray, "*batch y x"]:
    """Return the expected counts of object patches, ``I_j = sum_m |F[P_m O_j]|^2``.

    Parameters
    ----------
    probe
        Probe modes in sqrt(counts), one set for all patches, (mode, y, x), or one for every patch.
    patches
        Object patches, dimensionless transmission.
    """
    return intensity(far_field(probe * patches[..., None, :, :]))
