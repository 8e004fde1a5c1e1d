"""A convolution 3 x 3, a residual branch of two, and how a device does them."""

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ptycho_torch.base.kernels import made
from ptycho_torch.networks.convolution import Convolution, empty

# Numbers of channels for which the libraries of a GPU leave most of it idle, and kernels of our own do not.
FEW = (8, 16, 32)


class ThreeByThree(nn.Conv2d):
    """A convolution 3 x 3 with zeros around the image."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel_out y x"]:
        """Convolve features; few channels in bfloat16 have kernels on a GPU."""
        if by_kernels(self, x):
            return convolved(x.to(torch.bfloat16), self.weight, self.bias)
        return super().forward(x)


def by_kernels(layer: nn.Conv2d, x: Float[Tensor, "batch channel y x"]) -> bool:
    """Return whether kernels of few channels convolve these features."""
    return x.is_cuda and _short(x) and layer.in_channels in FEW and layer.out_channels in FEW


def _short(x: Tensor) -> bool:
    """Return whether arithmetic with a tensor is in bfloat16."""
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    return dtype == torch.bfloat16


# Compilers and exporters see operations, and not what is done where they are done.
@torch.library.custom_op("ptychopinn::convolved", mutates_args=())
def convolved(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return images (batch, channel, y, x) convolved with a weight (channel out, channel, 3, 3), plus a bias."""
    found = _way(images.device, *weight.shape[:2]).convolved(images, weight, bias)
    return found.contiguous(memory_format=torch.channels_last)


def residual(x: Tensor, weight: Tensor, bias: Tensor, weight_2: Tensor, bias_2: Tensor) -> Tensor:
    """Return x + conv(gelu(conv(gelu(x)))) of x (batch, channel, y, x), as one operation."""
    # A compiler joins the first gelu with whatever makes x. How it changes with x is part of the operation's gradient.
    active = functional.gelu(x.detach())
    found, _, _ = _residual(x, active, weight, bias, weight_2, bias_2, torch.is_grad_enabled())
    return found


@torch.library.custom_op("ptychopinn::residual", mutates_args=())
def _residual(
    x: Tensor, active: Tensor, weight: Tensor, bias: Tensor, weight_2: Tensor, bias_2: Tensor, kept: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sum, and what its gradient asks for, where that shall be kept: the first convolution and its gelu."""
    way = _way(x.device, *weight.shape[:2])
    inner, inner_active = way.activated(active, weight, bias, kept=kept)
    found = way.convolved(inner_active, weight_2, bias_2, x)
    if inner is None:
        inner, inner_active = empty(x[:0], weight), empty(x[:0], weight)
    found, inner, inner_active = (
        part.contiguous(memory_format=torch.channels_last) for part in (found, inner, inner_active)
    )
    return found, inner, inner_active


@torch.library.custom_op("ptychopinn::image_slope", mutates_args=())
def _image_slope(slope: Tensor, weight: Tensor, through: Tensor | None, added: Tensor | None) -> Tensor:
    found = _way(slope.device, *weight.shape[:2]).image_slope(slope, weight, through, added)
    return found.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("ptychopinn::weight_slope", mutates_args=())
def _weight_slope(slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return _way(slope.device, *weight.shape[:2]).weight_slope(slope, images, weight)


@convolved.register_fake
def _(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return empty(images, weight)


@_residual.register_fake
def _(
    x: Tensor, active: Tensor, weight: Tensor, bias: Tensor, weight_2: Tensor, bias_2: Tensor, kept: bool
) -> tuple[Tensor, Tensor, Tensor]:
    inner = x if kept else x[:0]
    return empty(x, weight), empty(inner, weight), empty(inner, weight)


@_image_slope.register_fake
def _(slope: Tensor, weight: Tensor, through: Tensor | None, added: Tensor | None) -> Tensor:
    return empty(slope, weight.transpose(0, 1))


@_weight_slope.register_fake
def _(slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(weight), weight.new_empty(len(weight))


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    images, weight, _ = inputs
    ctx.save_for_backward(images, weight)


def _slopes(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    images, weight = ctx.saved_tensors
    of_images = _image_slope(slope, weight, None, None) if ctx.needs_input_grad[0] else None
    return of_images, *_weight_slope(slope, images, weight)


def _keep_residual(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, active, weight, _, weight_2, _, _ = inputs
    _, inner, inner_active = output
    # Nothing else depends on what is kept, and no zeros shall be made to say so.
    ctx.mark_non_differentiable(inner, inner_active)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, active, inner, inner_active, weight, weight_2)


def _residual_slopes(ctx: Any, slope: Tensor | None, *of_kept: None) -> tuple[Tensor | None, ...]:
    if slope is None:
        return (None,) * len(ctx.needs_input_grad)
    x, active, inner, inner_active, weight, weight_2 = ctx.saved_tensors
    of_inner = _image_slope(slope, weight_2, inner, None)
    of_x = _image_slope(of_inner, weight, x, slope) if ctx.needs_input_grad[0] else None
    firsts, seconds = _weight_slope(of_inner, active, weight), _weight_slope(slope, inner_active, weight_2)
    return of_x, None, *firsts, *seconds, None


convolved.register_autograd(_slopes, setup_context=_keep)
_residual.register_autograd(_residual_slopes, setup_context=_keep_residual)


@functools.cache
def _way(device: torch.device, channels_out: int, channels: int) -> Convolution:
    """Return how a device does it: by kernels where they can be made, which is tried once."""

    def make() -> Convolution:
        from ptycho_torch.networks.few_channels import FewChannels

        return FewChannels()

    def trial(way: Convolution) -> None:
        images = torch.zeros(16, channels, 16, 16, dtype=torch.bfloat16, device=device)
        weight, bias = (
            torch.zeros(channels_out, channels, 3, 3, device=device),
            torch.zeros(channels_out, device=device),
        )
        slope = way.convolved(images, weight, bias)
        way.image_slope(slope, weight)
        way.weight_slope(slope, images, weight)
        if channels == channels_out:  # as in residual branches
            way.convolved(images, weight, bias, added=images)
            way.image_slope(slope, weight, through=images)
            way.image_slope(slope, weight, through=images, added=images)
            for kept in (False, True):
                way.activated(images, weight, bias, kept=kept)

    return made(make, trial, Convolution(), f"convolutions of {channels} to {channels_out} channels have")
