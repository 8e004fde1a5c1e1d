"""The direction of the next step, from the steps before."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.inference.estimate import Estimate

# Pairs of steps and gradient changes that the direction remembers.
MEMORY = 10
# Numbers whose products are summed in single precision; sums of so many are added up in double precision.
BLOCK = 2048


class QuasiNewton:
    """Limited-memory BFGS from a first guess H0 of the inverse Hessian, in compact form (DOI 10.1007/BF01582063).

    With the steps S and the gradient changes Y of the pairs that are remembered, the oldest first,

        H = c H0 + [S, c H0 Y] [[R^-T (D + c Y^T H0 Y) R^-1, -R^-T], [-R^-1, 0]] [S^T; c Y^T H0],

    R being the upper triangle of S^T Y, D its diagonal, and c such that the newest pair is told right in the mean.
    H0 is linear: of the changes it is what it made of the gradients, and is asked once a direction. Pairs have rows in
    one place, and the newest takes that of the oldest: inner products with all of them are one product of matrices.
    They come from the device all at once, and what follows of them is small.

    Parameters
    ----------
    guess
        Gradient -> H0 times it, up to a common factor; linear, symmetric and positive.
    """

    def __init__(self, guess: Callable[[Estimate], Estimate]) -> None:
        self._guess = guess
        # Steps S, one a row, and below what H0 made of changes Y; what these are multiplied with, the gradient and its
        # last change. Rows are filled up with zeros to whole blocks.
        self._rows: Float32[Tensor, "row number"] | None = None
        self._asked: Float32[Tensor, "2 number"] | None = None
        self.forget()

    def __len__(self) -> int:
        return len(self._pairs)

    def forget(self) -> None:
        """Begin anew from the first guess."""
        # Rows of the pairs that are remembered, the oldest first; row by row S^T Y, of which counts what an older step
        # and a newer change make, and Y^T H0 Y.
        self._pairs: list[int] = []
        self._products, self._squares = np.zeros((2, MEMORY, MEMORY))
        # A step to learn from, and the gradient where it began with what H0 made of it.
        self._step: Estimate | None = None
        # Rows that no pair has are multiplied by zero, which what is not finite survives.
        if self._rows is not None:
            self._rows.zero_()
        self._before: tuple[Tensor, Tensor] | None = None

    def learn(self, step: Estimate) -> None:
        """Remember a step from where a direction was asked for last to where it will be asked for next."""
        self._step = step

    def direction(self, gradient: Estimate) -> Estimate:
        """Return minus the estimated inverse Hessian times the gradient."""
        here, guessed = gradient.numbers, self._guess(gradient).numbers
        with_steps, with_guessed = self._told(here, guessed)
        self._step, self._before = None, (here, guessed)
        if not self._pairs:
            return gradient.of_numbers(-guessed)
        remembered = np.ix_(self._pairs, self._pairs)
        triangle, squares = np.triu(self._products[remembered]), self._squares[remembered]
        known = triangle.diagonal()
        scale = known[-1] / squares[-1, -1]
        inner = np.linalg.solve(triangle, with_steps)
        outer = np.linalg.solve(triangle.T, known * inner + scale * (squares @ inner - with_guessed))
        of_rows = np.zeros((2, MEMORY), np.float32)
        of_rows[:, self._pairs] = -outer, scale * inner
        weights = torch.from_numpy(of_rows.ravel()).to(here.device, non_blocking=True)
        return gradient.of_numbers(torch.addmv(guessed, self._rows[:, : len(here)].T, weights, beta=-scale))

    def _told(self, here: Tensor, guessed: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return S^T g and Y^T H0 g, the pair that there is to learn among them where the objective is convex there."""
        learns = self._step is not None and self._before is not None
        if learns:
            self._pairs = [*self._pairs[-MEMORY + 1 :], self._written(here, guessed)]
        if not self._pairs:
            return np.empty(0), np.empty(0)
        self._asked[0, : len(here)] = here
        told = _products(self._rows, self._asked).cpu().numpy().reshape(2, MEMORY, 2)[:, self._pairs]
        if learns:
            self._remember(*told[..., 1])
        with_steps, with_guessed = told[:, : len(self._pairs), 0]
        return with_steps, with_guessed

    def _written(self, here: Tensor, guessed: Tensor) -> int:
        """Write the pair that there is to learn into a row, and return its number."""
        n, (before, guessed_before) = len(here), self._before
        if self._rows is None:
            wide = -(-n // BLOCK) * BLOCK
            self._rows, self._asked = here.new_zeros(2 * MEMORY, wide), here.new_zeros(2, wide)
        row = next(row for row in range(MEMORY) if row not in self._pairs[-MEMORY + 1 :])
        self._rows[row, :n] = self._step.numbers
        torch.sub(guessed, guessed_before, out=self._rows[MEMORY + row, :n])
        torch.sub(here, before, out=self._asked[1, :n])
        return row

    def _remember(self, products: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        """Keep the products of the newest pair with all; forget that pair where the objective is not convex."""
        newest = self._pairs[-1]
        if products[-1] > 0:
            self._products[self._pairs, newest] = products
            self._squares[self._pairs, newest] = self._squares[newest, self._pairs] = squares
        else:
            self._pairs.pop()


def _products(
    rows: Float32[Tensor, "row number"], columns: Float32[Tensor, "column number"]
) -> Float64[Tensor, "row column"]:
    """Return inner products of rows, a whole number of blocks each."""
    blocks = rows.view(len(rows), -1, BLOCK).transpose(0, 1)
    return torch.bmm(blocks, columns.view(len(columns), -1, BLOCK).permute(1, 2, 0)).sum(dim=0, dtype=torch.float64)
