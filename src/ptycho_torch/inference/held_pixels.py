"""What light and prior together know of the object: an inverse that costs a few sums over neighbours."""

from jaxtyping import Complex64, Float32
from torch import Tensor

from ptycho_torch.inference.prior import Prior

# Terms of the polynomial, and between which stiffnesses, over those of pixels alone, it is an inverse: a prior holds
# neighbours that differ up to twice as firmly as a pixel alone, and long waves much less.
DEGREE = 4
SOFTEST, STIFFEST = 0.2, 2.0


class HeldPixels:
    """About the inverse of l + B: light, and half the Hessian of a prior.

    A prior of neighbours' differences holds a pixel alone firmly and smooth changes hardly: divided by the diagonal D
    of both, their steps are too short. So D^-1/2 (l + B) D^-1/2 is inverted by some steps of Chebyshev's iteration (DOI
    10.1007/BF01386013), a polynomial that is positive there: what is made of a gradient is linear in it, symmetric and
    positive.

    Parameters
    ----------
    light
        l, more than zero, counts.
    prior, object_
        What is expected of the object, and where its Hessian is taken.
    """

    def __init__(
        self, light: Float32[Tensor, "height width"], prior: Prior, object_: Complex64[Tensor, "height width"]
    ) -> None:
        self._light, self._bent = light, prior.half_hessian(object_)
        self._scale = (light + prior.stiffness(object_)).rsqrt()

    def __call__(self, gradient: Complex64[Tensor, "height width"]) -> Complex64[Tensor, "height width"]:
        """Return about the inverse times a gradient."""
        middle, reach = (STIFFEST + SOFTEST) / 2, (STIFFEST - SOFTEST) / 2
        rest = self._scale * gradient
        step = rest / middle
        found, share = step, reach / middle
        for _ in range(DEGREE - 1):
            rest = rest - self._scaled(step)
            before, share = share, 1 / (2 * middle / reach - share)
            step = share * before * step + 2 * share / reach * rest
            found = found + step
        return self._scale * found

    def _scaled(self, change: Complex64[Tensor, "height width"]) -> Complex64[Tensor, "height width"]:
        moved = self._scale * change
        return self._scale * (self._light * moved + self._bent(moved))
