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

Rows = Float32[Tensor, "_ number"]


class QuasiNewton:
    """Limited-memory BFGS from a first guess H0 of the inverse Hessian, in compact form (DOI 10.1007/BF01582063).

    With the steps S and the gradient changes Y of the pairs that are remembered, the oldest first,

        H = c H0 + [S, c H0 Y] [[R^-T (D + c Y^T H0 Y) R^-1, -R^-T], [-R^-1, 0]] [S^T; c Y^T H0],

    R being the upper triangle of S^T Y, D its diagonal, and c such that the newest pair is told right in the mean.
    H0 is linear: of the changes it is what it made of the gradients, and is asked once a direction. Inner products come
    from the device all at once, and what follows of them is small.

    Parameters
    ----------
    guess
        Gradient -> H0 times it, up to a common factor; linear, symmetric and positive.
    """

    def __init__(self, guess: Callable[[Estimate], Estimate]) -> None:
        self._guess = guess
        self.forget()

    def __len__(self) -> int:
        return 0 if self._steps is None else len(self._steps)

    def forget(self) -> None:
        """Begin anew from the first guess."""
        # Steps S and what H0 made of changes Y, one a row; S^T Y, of which the upper triangle counts, and Y^T H0 Y.
        self._steps: Rows | None = None
        self._guessed: Rows | None = None
        self._products = self._squares = np.empty((0, 0))
        # A step to learn from, and the gradient where it began with what H0 made of it.
        self._step: Tensor | None = None
        self._before: tuple[Tensor, Tensor] | None = None

    def learn(self, step: Estimate) -> None:
        """Remember a step from where a direction was asked for last to where it will be asked for next."""
        self._step = step.numbers

    def direction(self, gradient: Estimate) -> Estimate:
        """Return minus the estimated inverse Hessian times the gradient."""
        here, guessed = gradient.numbers, self._guess(gradient).numbers
        with_steps, with_guessed = self._told(here, guessed)
        self._step, self._before = None, (here, guessed)
        if self._steps is None or self._guessed is None:
            return gradient.of_numbers(-guessed)
        known = self._products.diagonal()
        scale = known[-1] / self._squares[-1, -1]
        triangle = np.triu(self._products)
        inner = np.linalg.solve(triangle, with_steps)
        outer = np.linalg.solve(triangle.T, known * inner + scale * (self._squares @ inner - with_guessed))
        of_pairs = _on(here, scale * inner) @ self._guessed - _on(here, outer) @ self._steps
        return gradient.of_numbers(of_pairs - scale * guessed)

    def _told(self, here: Tensor, guessed: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return S^T g and Y^T H0 g, the pair that there is to learn among them where the objective is convex there."""
        rows, numbers = (self._steps, self._guessed), [here]
        learns = self._step is not None and self._before is not None
        if learns:
            before, guessed_before = self._before
            rows = _appended(self._steps, self._step), _appended(self._guessed, guessed - guessed_before)
            numbers.append(here - before)
        if rows[0] is None:
            return np.empty(0), np.empty(0)
        told = torch.stack([_products(some, number) for number in numbers for some in rows]).cpu().numpy()
        if learns:
            self._remember(rows, *told[2:])
            told = told[:, : len(self)]
        return told[0], told[1]

    def _remember(self, rows: tuple[Rows, Rows], products: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        """Keep pairs, the newest with its products with all; or all but that one where the objective is not convex."""
        convex, before = products[-1] > 0, len(products) - 1
        n = before + convex
        old = [known[len(known) - before :, len(known) - before :] for known in (self._products, self._squares)]
        if convex:
            old[0] = np.block([[old[0], products[:-1, None]], [np.zeros(before), products[-1:]]])
            old[1] = np.block([[old[1], squares[:-1, None]], [squares[None]]])
        self._products, self._squares = old
        self._steps, self._guessed = (some[:n] for some in rows) if n else (None, None)


def _appended(rows: Rows | None, row: Tensor) -> Rows:
    return row[None] if rows is None else torch.cat([rows[-MEMORY + 1 :], row[None]])


def _products(rows: Rows, numbers: Float32[Tensor, " number"]) -> Tensor:
    return (rows * numbers).sum(dim=1, dtype=torch.float64)


def _on(like: Tensor, numbers: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(numbers).to(like.device, like.dtype)
