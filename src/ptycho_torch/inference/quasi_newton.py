"""The direction of the next step, from the steps before."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.inference.estimate import Estimate

# Pairs of steps and gradient changes that the direction remembers.
MEMORY = 10


class QuasiNewton:
    """Limited-memory BFGS from a first guess of the Hessian (DOI 10.1090/S0025-5718-1980-0572855-7).

    The two loops over the pairs need inner products only. Those of the pairs with each other are kept, and those with
    a gradient are made all at once: a GPU is asked for numbers twice a direction, and not at every pair.

    Parameters
    ----------
    guess
        Gradient -> the inverse of that guess times it, up to a common factor; linear, symmetric and positive.
    """

    def __init__(self, guess: Callable[[Estimate], Estimate]) -> None:
        self._guess = guess
        self.forget()

    def __len__(self) -> int:
        return len(self._products)

    def forget(self) -> None:
        """Begin anew from the first guess."""
        # The oldest pair first; products are (step, change).
        self._steps: Tensor | None = None
        self._changes: Tensor | None = None
        self._products: NDArray[np.float64] = np.empty((0, 0))

    def learn(self, step: Estimate, change: Estimate) -> None:
        """Remember how the gradient changed over a step, where the objective is convex along it."""
        s, y = step.numbers[None], change.numbers[None]
        steps = s if self._steps is None else torch.cat([self._steps[-MEMORY + 1 :], s])
        changes = y if self._changes is None else torch.cat([self._changes[-MEMORY + 1 :], y])
        with_change, with_step = _told(_products(steps, y[0]), _products(changes, s[0]))
        if with_step[-1] <= 0:
            return
        n = len(with_step)
        before = self._products[-(n - 1) :, -(n - 1) :] if n > 1 else self._products[:0, :0]
        self._products = np.block([[before, with_change[:-1, None]], [with_step[None]]])
        self._steps, self._changes = steps, changes

    def direction(self, gradient: Estimate) -> Estimate:
        """Return minus the estimated inverse Hessian times the gradient."""
        if self._steps is None or self._changes is None:
            return self._guess(gradient).times(-1.0)
        products, n = self._products, len(self)
        rest = gradient.numbers
        (along,) = _told(_products(self._steps, rest))
        amounts = np.zeros(n)
        for i in reversed(range(n)):
            amounts[i] = (along[i] - products[i, i + 1 :] @ amounts[i + 1 :]) / products[i, i]
        rest = rest - _on(rest, amounts) @ self._changes
        guessed = self._guess(gradient.of_numbers(rest)).numbers
        last = self._guess(gradient.of_numbers(self._changes[-1])).numbers
        along, of_last = _told(_products(self._changes, guessed), _products(self._changes[-1:], last))
        scale = products[-1, -1] / of_last[0]
        left = np.zeros(n)
        for i in range(n):
            left[i] = amounts[i] - (scale * along[i] + left[:i] @ products[:i, i]) / products[i, i]
        return gradient.of_numbers(-scale * guessed - _on(rest, left) @ self._steps)


def _products(rows: Float32[Tensor, "row number"], numbers: Float32[Tensor, " number"]) -> Tensor:
    return (rows * numbers).sum(dim=1, dtype=torch.float64)


def _told(*products: Tensor) -> list[NDArray[np.float64]]:
    """Return numbers from the device, all at once."""
    told = torch.cat(products).cpu().numpy()
    return np.split(told, np.cumsum([len(part) for part in products])[:-1])


def _on(like: Tensor, numbers: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(numbers).to(like.device, like.dtype)
