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


@dataclass(frozen=True, eq=False)
class Best:
    """The object that is as near to the truth as a scan brings it, beside the one whose deviations are asked for.

    Both are the same where iterations alone have finished what the network began. Fields are as in `Examined`.

    Attributes
    ----------
    away
        What it differs by from the object in question; zeros where it is the same.
    difference
        Between what two halves of the scan make of it.
    examined
        Each of these held against the counts of the other half: the best object, with the difference that the light of
        its half gives it.
    """

    away: ComplexMap
    difference: ComplexMap
    examined: Sequence[Examined]


def deviations(difference: ComplexMap, mask: Mask, share: Map, best: Best, object_: ComplexMap) -> tuple[Map, Map]:
    """Return the standard deviations of amplitude and phase (rad) of the object of a whole scan; NaN where not known.

    sigma^2 = (V + B) k + D. The capital letters are mean squares of parts of the error:

    V, random: with L_a and L_b the light of the halves, their variances are V (L_a + L_b) / L_a and
    V (L_a + L_b) / L_b, so that V = <difference^2> share with share = L_a L_b / (L_a + L_b)^2, a quarter where both
    have the same light.

    B, what is wrong with the best object whatever the noise. It has that in the whole's strength, and the difference of
    the halves on top; the counts of one half find both in the object that the other's frames led to. Of what they find,
    where all have passed the same filter, half the square of the difference is random:
    B = <best.difference^2> (<error^2 - noise^2> / <filtered difference^2> - 1/2), at least 0.

    k = (pi / 2) <|difference|>^2 / <difference^2> is 1 for normal errors. Where a few are much larger than the others,
    as at edges, their mean square says too much of most: with k two in three are smaller all the same.

    D, what the best object mends: <away^2>.

    Parameters
    ----------
    difference
        Between the objects of the halves, in the phase of one: real part of amplitudes, imaginary part of phases times
        amplitude.
    mask
        Where all is known.
    share
        Of the light, as above.
    best
        The best object, and what the counts find wrong with it.
    object_
        Of the whole scan.
    """
    size = np.abs(object_)
    fields = {
        "error": [_judged(each.error, size, mask) for each in best.examined],
        "noise": [each.noise for each in best.examined],
        "difference": [each.difference for each in best.examined],
    }
    found = []
    for part in (np.real, np.imag):
        error, noise, differs = (
            local_mean(np.mean([part(each) ** 2 for each in several], axis=0), mask, WIDTH)
            for several in fields.values()
        )
        excess = np.divide(error - noise, differs, out=np.full_like(differs, 0.5), where=differs > 0) - 0.5
        systematic = local_mean(part(best.difference) ** 2, mask, WIDTH) * np.maximum(excess, 0)
        apart, away = part(difference), part(best.away)
        random = local_mean(apart**2, mask, WIDTH)
        modulus = local_mean(np.abs(apart), mask, WIDTH)
        shape = np.divide(np.pi / 2 * modulus**2, random, out=np.ones_like(random), where=random > 0)
        found.append(np.sqrt((random * share + systematic) * shape + local_mean(away**2, mask, WIDTH)))
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
