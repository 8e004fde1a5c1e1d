"""The direction of the next step, from the steps before."""

from collections import deque
from collections.abc import Callable

from ptycho_torch.inference.estimate import Estimate

# Pairs of steps and gradient changes that the direction remembers.
MEMORY = 10


class QuasiNewton:
    """Limited-memory BFGS from a first guess of the Hessian (DOI 10.1090/S0025-5718-1980-0572855-7).

    Parameters
    ----------
    guess
        Gradient -> the inverse of that guess times it, up to a common factor; linear, symmetric and positive.
    """

    def __init__(self, guess: Callable[[Estimate], Estimate]) -> None:
        self._guess = guess
        self._pairs: deque[tuple[Estimate, Estimate]] = deque(maxlen=MEMORY)

    def __len__(self) -> int:
        return len(self._pairs)

    def forget(self) -> None:
        """Begin anew from the first guess."""
        self._pairs.clear()

    def learn(self, step: Estimate, change: Estimate) -> None:
        """Remember how the gradient changed over a step, where the objective is convex along it."""
        if step.dot(change) > 0:
            self._pairs.append((step, change))

    def direction(self, gradient: Estimate) -> Estimate:
        """Return minus the estimated inverse Hessian times the gradient."""
        rest = gradient
        factors = []
        for step, change in reversed(self._pairs):
            inverse = 1 / step.dot(change)
            amount = inverse * step.dot(rest)
            rest = rest.plus(-amount, change)
            factors.append((inverse, amount))
        rest = self._guess(rest)
        if self._pairs:
            step, change = self._pairs[-1]
            rest = rest.times(step.dot(change) / change.dot(self._guess(change)))
        for (step, change), (inverse, amount) in zip(self._pairs, reversed(factors), strict=True):
            rest = rest.plus(amount - inverse * change.dot(rest), step)
        return rest.times(-1.0)
