"""Attention of all places of an image to each other, and how a device does it."""

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ptycho_torch.base.kernels import made

# Places up to which a program of a GPU holds all that a head needs, with its gradient or without, and widths of heads.
FEW_PLACES, WIDTHS = {True: 128, False: 256}, (16, 32, 64)


def attended(parts: Float[Tensor, "batch place three head width"]) -> Float[Tensor, "batch place all_heads"]:
    """Return softmax(q k^T / sqrt(width)) v of queries, keys and values, head after head (DOI 10.5555/3295222.3295349).

    Few places in bfloat16 have kernels on a GPU.
    """
    _, places, _, _, width = parts.shape
    few = places <= FEW_PLACES[torch.is_grad_enabled()] and width in WIDTHS
    if few and parts.is_cuda and parts.dtype == torch.bfloat16:
        return _attended(parts)
    return plainly(parts)


def plainly(parts: Tensor) -> Tensor:
    """Do it by PyTorch's own operation."""
    query, key, value = parts.permute(2, 0, 3, 1, 4)
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


# Compilers and exporters see operations, and not what is done where they are done.
@torch.library.custom_op("ptychopinn::attended", mutates_args=())
def _attended(parts: Tensor) -> Tensor:
    return _way(parts.device, parts.shape[-1]).attended(parts).contiguous()


@torch.library.custom_op("ptychopinn::attended_slope", mutates_args=())
def _attended_slope(slope: Tensor, parts: Tensor) -> Tensor:
    return _way(parts.device, parts.shape[-1]).slope(slope, parts).contiguous()


@_attended.register_fake
def _(parts: Tensor) -> Tensor:
    batch, places, _, heads, width = parts.shape
    return parts.new_empty(batch, places, heads * width)


@_attended_slope.register_fake
def _(slope: Tensor, parts: Tensor) -> Tensor:
    return parts.new_empty(parts.shape)


def _keep(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _slopes(ctx: Any, slope: Tensor) -> Tensor:
    return _attended_slope(slope, *ctx.saved_tensors)


_attended.register_autograd(_slopes, setup_context=_keep)


class Attention:
    """Attention and its gradient, the plain way, on any device."""

    def attended(self, parts: Tensor) -> Tensor:
        """Return what all heads say of every place."""
        return plainly(parts)

    def slope(self, slope: Tensor, parts: Tensor) -> Tensor:
        """Return the gradient with respect to queries, keys and values."""
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        leads, scale = slope.unflatten(2, parts.shape[3:]).transpose(1, 2), parts.shape[-1] ** -0.5
        shares = (scale * query @ key.mT).softmax(dim=-1)
        of_shares = leads @ value.mT
        of_scores = scale * shares * (of_shares - (shares * of_shares).sum(dim=-1, keepdim=True))
        slopes = of_scores @ key, of_scores.mT @ query, shares.mT @ leads
        return torch.stack(slopes).permute(1, 3, 0, 2, 4)


@functools.cache
def _way(device: torch.device, width: int) -> Attention:
    def make() -> Attention:
        from ptycho_torch.networks.attention_kernels import FewPlaces

        return FewPlaces()

    parts = torch.zeros(1, 16, 3, 1, width, dtype=torch.bfloat16, device=device)
    return made(make, lambda way: way.slope(way.attended(parts), parts), Attention(), "heads over few places have")
