"""How well expected counts explain measured ones."""

import numpy as np
from jaxtyping import Float, Float64, Shaped
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


def deviance_moments(expected: Float64[ndarray, " value"]) -> tuple[ndarray, ndarray]:
    """Return mean and variance of the Poisson deviance 2 (n log(n / I) - n + I) of counts n around each I.

    Near 1 and 2 where counts are plenty, as chi squared of one degree of freedom; far from it below ten counts. Sums
    over the Poisson distribution, twelve standard deviations far.

    Examples
    --------
    >>> mean, variance = deviance_moments(np.array([0.01, 1.0, 1000.0]))
    >>> mean.round(3).tolist(), variance.round(3).tolist()
    ([0.092, 1.147, 1.0], [0.524, 1.365, 2.001])
    """
    from scipy.special import gammaln, kl_div, xlogy

    moments = []
    for value in expected.tolist():
        counts = np.arange(int(value + 12 * np.sqrt(value)) + 30)
        probability = np.exp(xlogy(counts, value) - value - gammaln(counts + 1))
        deviance = 2 * kl_div(counts, value)
        mean = float(probability @ deviance)
        moments.append((mean, float(probability @ deviance**2) - mean**2))
    mean_of, variance_of = np.array(moments).T
    return mean_of, variance_of
