"""What the photons allow: the shot-noise limit as a rule of thumb."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from ptycho.base.arrays import Mask


def photons_per_pixel(coverage: Float32[ndarray, "height width"], mask: Mask) -> float:
    """Return the mean photons per object pixel, summed over the scan: the mean of sum_j |P(r - r_j)|^2, counts."""
    return float(coverage[mask].mean(dtype=np.float64))


def psnr_bound(photons: float) -> float:
    """Return the PSNR, peak 1 or 1 rad, that n photons per object pixel allow: 10 log10(2 n), dB.

    Rule of thumb from var(|O|) >= 1 / (2 n) and var(arg O) >= 1 / (2 n |O|^2), one half of the photon-limited error
    each ("Photon-limited bounds for phase retrieval", Opt. Express 29, 16736, 2021), for a nearly transparent object.
    The exact Cramer-Rao bound of a scan lies somewhat lower, and a biased estimator may exceed it.

    Examples
    --------
    >>> round(psnr_bound(1.56e3), 1)
    34.9
    """
    return float(10 * np.log10(2 * photons))
