"""The standard deviation of every pixel of an object, from two halves of its scan and what each says of the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray

from ptycho.base.arrays import Mask
from ptycho.metrics.image import local_mean

Map = Float[ndarray, "height width"]
ComplexMap = Complex[ndarray, "height width"]

# px over which squares are averaged: one pixel's alone says little.
WIDTH = 4.0
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


def deviations(
    difference: ComplexMap, mask: Mask, share: Map, examined: Sequence[Examined], object_: ComplexMap
) -> tuple[Map, Map]:
    """Return the standard deviations of amplitude and phase (rad) of the object of a whole scan; NaN where not known.

    Let V be the variance of the whole's random error, B its systematic one, and L_a, L_b the light of the halves. Their
    variances are V (L_a + L_b) / L_a and V (L_a + L_b) / L_b, so that <difference^2> share = V with
    share = L_a L_b / (L_a + L_b)^2, a quarter where both have the same light. The counts of one half find B^2 and its
    variance wrong with the object of the other, which had no part in them. Hence the factor (B^2 + V) / V on what the
    difference says, taken where all have passed the same filter:
    (<error^2 - noise^2> / <difference^2> - 1/2) / share + 1, at least 1.

    That B is the half's. What is wrong whatever the light is the same in the whole; what a prior does is less there:
    its pull w grows with sqrt(light) and F with light, so that F^-1 w goes with 1 / sqrt(light). With halves alike the
    deviation is then between once and sqrt(2) times what it should be, and between 68 % and erf(1) = 84 % of errors
    are smaller.

    Parameters
    ----------
    difference
        Between the objects of the halves, in the phase of one: real part of amplitudes, imaginary part of phases times
        amplitude.
    mask
        Where that is known.
    share
        Of the light, as above.
    examined
        The object of each half.
    object_
        Of the whole scan.
    """
    size = np.abs(object_)
    fields = {
        "error": [_judged(each.error, size, mask) for each in examined],
        "noise": [each.noise for each in examined],
        "difference": [each.difference for each in examined],
    }
    found = []
    for part in (np.real, np.imag):
        error, noise, differs = (
            local_mean(np.mean([part(each) ** 2 for each in several], axis=0), mask, WIDTH)
            for several in fields.values()
        )
        excess = np.divide(error - noise, differs, out=np.full_like(differs, 0.5), where=differs > 0) - 0.5
        random = local_mean(part(difference) ** 2 * share, mask, WIDTH)
        found.append(np.sqrt(random * np.maximum(excess / share + 1, 1)))
    amplitude, phase = found
    turned = np.divide(phase, size, out=np.full_like(phase, UNKNOWN), where=size > 0)
    return amplitude, np.where(mask, np.minimum(turned, UNKNOWN), np.nan)


def _judged(error: ComplexMap, size: Map, mask: Mask) -> ComplexMap:
    """Return an error less a factor and a phase ramp, which are removed before an object is judged."""
    y, x = np.indices(mask.shape)
    kinds = [size, 1j * size, 1j * y * size, 1j * x * size]
    columns = np.stack([np.concatenate([kind[mask].real, kind[mask].imag]) for kind in kinds], axis=1)
    inside = np.concatenate([error[mask].real, error[mask].imag])
    amounts = np.linalg.lstsq(columns, inside, rcond=None)[0]
    rest: ComplexMap = error - sum(amount * kind for amount, kind in zip(amounts, kinds, strict=True))
    return rest
