"""How well expected counts explain measured ones."""

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

from ptycho.base.arrays import Mask

Measured = Shaped[ndarray, "position y x"]
Expected = Float[ndarray, "position y x"]


def r_factor(measured: Measured, expected: Expected, mask: Mask) -> float:
    """Return R = sum |sqrt(expected) - sqrt(measured)| / sum sqrt(measured) over the trusted pixels, counts."""
    seen = np.sqrt(measured[:, mask].astype(np.float64))
    return float(np.abs(np.sqrt(expected[:, mask].astype(np.float64)) - seen).sum() / seen.sum())


def poisson_deviance(measured: Measured, expected: Expected, mask: Mask) -> float:
    """Return the mean Poisson deviance of a trusted pixel, 2 (n log(n / I) - n + I); 0 for a perfect fit.

    About 1 where the fit is down to the noise and counts are plenty; less where most pixels count nothing. Infinite
    when photons arrived where none were expected.
    """
    from scipy.special import kl_div

    return float(2 * np.mean(kl_div(measured[:, mask].astype(np.float64), expected[:, mask].astype(np.float64))))
