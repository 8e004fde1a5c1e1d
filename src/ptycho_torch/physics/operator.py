"""What an operator is: one tensor in, one tensor out, composed with ``@``; a linear one knows its adjoint."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Operator(nn.Module, ABC):
    """A map from one tensor to one tensor. ``(a @ b)(x)`` is ``a(b(x))``."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator."""

    def __matmul__(self, inner: "Operator") -> "Operator":
        if isinstance(self, LinearOperator) and isinstance(inner, LinearOperator):
            return LinearComposition(self, inner)
        return Composition(self, inner)


class LinearOperator(Operator):
    """A complex-linear operator A with its adjoint: <A x, y> = <x, A^H y>."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint A^H."""


class Composition(Operator):
    """``outer`` after ``inner``."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        super().__init__()
        self.outer = outer
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Apply ``inner``, then ``outer``."""
        return self.outer(self.inner(x))


class LinearComposition(LinearOperator):
    """``outer`` after ``inner``, both linear; (A B)^H = B^H A^H."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        super().__init__()
        self.outer = outer
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Apply ``inner``, then ``outer``."""
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint of ``outer``, then that of ``inner``."""
        return self.inner.adjoint(self.outer.adjoint(y))
