"""The standard deviation of every pixel of an object, from two halves of its scan and what each says of the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray

from ptycho.metrics.image import local_mean

Map = Float[ndarray, "height width"]
ComplexMap = Complex[ndarray, "height width"]

# px: noise is alike over a few pixels, and what is systematic is told from noise only over more.
NEAR, FAR = 2.0, 8.0
# rad, the standard deviation of a phase of which nothing is known.
UNKNOWN = float(np.pi / np.sqrt(3))


@dataclass(frozen=True, eq=False)
class Examined:
    """One half's object held against the counts of the other half: fields that passed one linear filter.

    All are in the phase of the object: the real part is of amplitudes, the imaginary part of phases times amplitude.

    Attributes
    ----------
    error
        What the counts find wrong with the object, and their noise.
    noise
        Noise like that in ``error``.
    difference
        The difference between the objects of the two halves.
    """

    error: ComplexMap
    noise: ComplexMap
    difference: ComplexMap


def deviations(difference: ComplexMap, examined: Sequence[Examined], object_: ComplexMap) -> tuple[Map, Map]:
    """Return the standard deviations of amplitude and phase (rad) of the object of a whole scan; NaN where not known.

    With V the variance of the whole's random error and B^2 its systematic one, each half has the variance 2 V. The
    halves differ by 4 V. The counts of one half find B^2 + 2 V wrong with the object of the other, which had no part
    in them. Hence the factor (B^2 + V) / V on what the difference says, taken where both have passed the same filter:
    4 <error^2 - noise^2> / <difference^2> - 1, at least 1. It is averaged over 8 px, the difference over 2 px.

    Parameters
    ----------
    difference
        Between the objects of the halves, in the phase of one: real part of amplitudes, imaginary part of phases times
        amplitude; NaN where they can't be compared.
    examined
        The object of each half.
    object_
        Of the whole scan.
    """
    mask = np.isfinite(difference)
    known = np.where(mask, difference, 0)
    found = []
    for part in (np.real, np.imag):
        error, noise, differs = (
            local_mean(np.mean([part(getattr(each, name)) ** 2 for each in examined], axis=0), mask, FAR)
            for name in ("error", "noise", "difference")
        )
        ratio = np.divide(4 * (error - noise), differs, out=np.ones_like(differs), where=differs > 0) - 1
        found.append(np.sqrt(local_mean(part(known) ** 2 / 4, mask, NEAR) * np.maximum(ratio, 1)))
    amplitude, phase = found
    size = np.abs(object_)
    turned = np.divide(phase, size, out=np.full_like(phase, UNKNOWN), where=size > 0)
    return amplitude, np.where(mask, np.minimum(turned, UNKNOWN), np.nan)
