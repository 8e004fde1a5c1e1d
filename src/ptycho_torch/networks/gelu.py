"""The gelu where nothing else is done with the same features, and how a device does it."""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ptycho_torch.base.kernels import made


def gelu(x: Tensor) -> Tensor:
    """Return x times the share of a normal distribution below it (arXiv 1606.08415); bfloat16 has kernels on a GPU.

    Where sums or copies surround it `torch.nn.functional.gelu` is better: a compiler does all of them at once.
    """
    return _gelu(x) if x.is_cuda and x.dtype == torch.bfloat16 else functional.gelu(x)


# Compilers and exporters see operations, and not what is done where they are done.
@torch.library.custom_op("ptychopinn::gelu", mutates_args=())
def _gelu(x: Tensor) -> Tensor:
    return _way(x.device).gelu(x)


@torch.library.custom_op("ptychopinn::gelu_slope", mutates_args=())
def _gelu_slope(slope: Tensor, x: Tensor) -> Tensor:
    return _way(x.device).slope(slope, x)


@_gelu.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@_gelu_slope.register_fake
def _(slope: Tensor, x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _slopes(ctx: Any, slope: Tensor) -> Tensor:
    return _gelu_slope(slope, *ctx.saved_tensors)


_gelu.register_autograd(_slopes, setup_context=_keep)


class Gelu:
    """The gelu and its gradient, the plain way, on any device."""

    def gelu(self, x: Tensor) -> Tensor:
        """Return the gelu of features."""
        return torch.empty_like(x).copy_(functional.gelu(x))

    def slope(self, slope: Tensor, x: Tensor) -> Tensor:
        """Return the gradient with respect to the features."""
        return torch.empty_like(x).copy_(torch.ops.aten.gelu_backward(slope, x))


@functools.cache
def _way(device: torch.device) -> Gelu:
    def make() -> Gelu:
        from ptycho_torch.networks.gelu_kernels import GeluKernels

        return GeluKernels()

    x = torch.zeros(16, dtype=torch.bfloat16, device=device)
    return made(make, lambda way: way.slope(way.gelu(x), x), Gelu(), "gelus have")
