"""A convolution 3 x 3 at every second pixel of every second row, and how a device does it."""

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ptycho_torch.base.kernels import made
from ptycho_torch.networks.convolution import HalvingConvolution, empty_half, empty_twice
from ptycho_torch.networks.three_by_three import by_kernels


class Halving(nn.Conv2d):
    """A convolution 3 x 3 with zeros around the image, to half its sides."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel_out (y+1)//2 (x+1)//2"]:
        """Convolve features; few channels, and no fewer than before, in bfloat16 have kernels where sides are even."""
        _, _, height, width = x.shape
        if by_kernels(self, x) and self.in_channels <= self.out_channels and height % 2 == width % 2 == 0:
            return halved(x.to(torch.bfloat16), self.weight, self.bias)
        return super().forward(x)


@torch.library.custom_op("ptychopinn::halved", mutates_args=())
def halved(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return images (batch, channel, y, x) convolved with a weight (channel out, channel, 3, 3), plus a bias.

    That is at pixels whose y and x are even. The sides of the images are.
    """
    found = _way(images.device, *weight.shape[:2]).halved(images, weight, bias)
    return found.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("ptychopinn::halved_image_slope", mutates_args=())
def _image_slope(slope: Tensor, weight: Tensor) -> Tensor:
    found = _way(slope.device, *weight.shape[:2]).image_slope(slope, weight)
    return found.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("ptychopinn::halved_weight_slope", mutates_args=())
def _weight_slope(slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return _way(slope.device, *weight.shape[:2]).weight_slope(slope, images, weight)


@halved.register_fake
def _(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return empty_half(images, weight)


@_image_slope.register_fake
def _(slope: Tensor, weight: Tensor) -> Tensor:
    return empty_twice(slope, weight)


@_weight_slope.register_fake
def _(slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(weight), weight.new_empty(len(weight))


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    images, weight, _ = inputs
    ctx.save_for_backward(images, weight)


def _slopes(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    images, weight = ctx.saved_tensors
    of_images = _image_slope(slope, weight) if ctx.needs_input_grad[0] else None
    return of_images, *_weight_slope(slope, images, weight)


halved.register_autograd(_slopes, setup_context=_keep)


@functools.cache
def _way(device: torch.device, channels_out: int, channels: int) -> HalvingConvolution:
    """Return how a device does it: by kernels where they can be made, which is tried once."""

    def make() -> HalvingConvolution:
        from ptycho_torch.networks.halving_kernels import HalvingFewChannels

        return HalvingFewChannels()

    def trial(way: HalvingConvolution) -> None:
        images = torch.zeros(16, channels, 32, 32, dtype=torch.bfloat16, device=device)
        weight = torch.zeros(channels_out, channels, 3, 3, device=device)
        slope = way.halved(images, weight, torch.zeros(channels_out, device=device))
        way.image_slope(slope, weight)
        way.weight_slope(slope, images, weight)

    what = f"convolutions of {channels} to {channels_out} channels that halve sides have"
    return made(make, trial, HalvingConvolution(), what)
