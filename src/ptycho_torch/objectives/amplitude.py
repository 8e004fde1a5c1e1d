"""The variance-stabilised amplitude error."""

from jaxtyping import Float
from torch import Tensor

Counts = Float[Tensor, "*batch y x"]


def amplitude_error(expected: Counts, measured: Counts) -> Counts:
    """Return 4 (sqrt(lambda + 3/8) - sqrt(n + 3/8))^2 for every pixel.

    The Anscombe transform (DOI 10.1093/biomet/35.3-4.246) gives every pixel unit variance: about 1 for the true object.
    """
    return 4 * ((expected + 0.375).sqrt() - (measured + 0.375).sqrt()).square()
