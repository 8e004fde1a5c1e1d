"""Arithmetic of complex fields that would otherwise be written the slow way."""

from jaxtyping import Complex, Float
from torch import Tensor


def squared_modulus(field: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return |z|^2 of every element.

    Two passes over the parts cost a processor a fifth of a reduction over them, which does not vectorise.
    """
    return field.real.square() + field.imag.square()
