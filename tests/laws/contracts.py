"""Laws that every operator of a kind obeys, as functions: give the operator, get a failure or nothing."""

import torch
from torch import Tensor

from ptycho_torch.physics.operator import LinearOperator, Operator

# Rounding of single precision that a few transforms and sums may pile up, relative to the sizes that enter.
ROUNDING = 20 * torch.finfo(torch.float32).eps


def random_complex(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.complex64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inner(a: Tensor, b: Tensor) -> complex:
    return complex(torch.vdot(a.flatten().to(torch.complex128), b.flatten().to(torch.complex128)))


def norm(a: Tensor) -> float:
    return inner(a, a).real ** 0.5


def adjoint(operator: LinearOperator, x_shape: tuple[int, ...], y_shape: tuple[int, ...], seed: int = 0) -> None:
    """<A x, y> = <x, A^H y>, and the walk back of autograd is that adjoint."""
    x, y = random_complex(x_shape, seed), random_complex(y_shape, seed + 1)
    there, back = operator(x), operator.adjoint(y)
    assert there.shape == y_shape
    assert back.shape == x_shape
    assert abs(inner(there, y) - inner(x, back)) <= ROUNDING * (norm(there) * norm(y) + norm(x) * norm(back))
    x.requires_grad_()
    (walked,) = torch.autograd.grad(operator(x), x, y)
    assert norm(walked - back) <= ROUNDING * norm(back)


def linear(operator: Operator, x_shape: tuple[int, ...], seed: int = 0) -> None:
    """A(a x + b y) = a A x + b A y with complex a and b."""
    x, y = random_complex(x_shape, seed), random_complex(x_shape, seed + 1)
    a, b = 0.3 - 1.2j, -0.7 + 0.4j
    apart = a * operator(x) + b * operator(y)
    assert norm(operator(a * x + b * y) - apart) <= ROUNDING * norm(apart)


def unitary(operator: LinearOperator, x_shape: tuple[int, ...], seed: int = 0) -> None:
    """A^H A = A A^H = 1: nothing is lost, and nothing is made."""
    x = random_complex(x_shape, seed)
    assert norm(operator.adjoint(operator(x)) - x) <= ROUNDING * norm(x)
    assert norm(operator(operator.adjoint(x)) - x) <= ROUNDING * norm(x)


def gradient(operator: Operator, x_shape: tuple[int, ...], seed: int = 0) -> None:
    """The gradient that autograd finds is that of finite differences, in double precision."""
    x = random_complex(x_shape, seed, torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(operator, x)
