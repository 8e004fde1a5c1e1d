"""The convolution of a residual block, 3 x 3 with as many channels out as in, and how a device does it."""

import functools
import logging
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

logger = logging.getLogger(__name__)

# Numbers of channels for which the libraries of a GPU leave most of it idle, and kernels of our own do not.
FEW = (16, 32)


class SameWidth(nn.Conv2d):
    """A convolution 3 x 3 with zeros around the image and as many channels out as in."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        """Convolve features; few channels in 16 bits, which autocast makes of them, have kernels on a GPU."""
        if x.is_cuda and x.dtype == torch.bfloat16 and self.in_channels in FEW:
            return convolved(x, self.weight, self.bias)
        return super().forward(x)


class Convolution:
    """The convolution and its gradients, the plain way, on any device: in the precision of the images."""

    def convolved(self, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return images convolved with a weight, plus a bias."""
        return functional.conv2d(images, weight.to(images.dtype), bias.to(images.dtype), padding=1)

    def image_slope(self, slope: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient with respect to the images."""
        return functional.conv_transpose2d(slope, weight.to(slope.dtype), padding=1)

    def weight_slope(self, slope: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient with respect to the weight."""
        found = torch.nn.grad.conv2d_weight(images, weight.shape, slope, padding=1)
        return torch.empty_like(weight).copy_(found)


# Compilers and exporters see operations, and not what is done where they are done.
@torch.library.custom_op("ptychopinn::convolved", mutates_args=())
def convolved(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return images (batch, channel, y, x) convolved with a weight (channel out, channel, 3, 3), plus a bias."""
    found = _way(images.device, len(weight)).convolved(images, weight, bias)
    return found.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("ptychopinn::image_slope", mutates_args=())
def _image_slope(slope: Tensor, weight: Tensor) -> Tensor:
    found = _way(slope.device, len(weight)).image_slope(slope, weight)
    return found.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("ptychopinn::weight_slope", mutates_args=())
def _weight_slope(slope: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    return _way(slope.device, len(weight)).weight_slope(slope, images, weight)


@convolved.register_fake
def _(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.empty_like(images, memory_format=torch.channels_last)


@_image_slope.register_fake
def _(slope: Tensor, weight: Tensor) -> Tensor:
    return torch.empty_like(slope, memory_format=torch.channels_last)


@_weight_slope.register_fake
def _(slope: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    return torch.empty_like(weight)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    images, weight, _ = inputs
    ctx.save_for_backward(images, weight)


def _slopes(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    images, weight = ctx.saved_tensors
    of_images = _image_slope(slope, weight) if ctx.needs_input_grad[0] else None
    return of_images, _weight_slope(slope, images, weight), slope.sum(dim=(0, 2, 3), dtype=weight.dtype)


convolved.register_autograd(_slopes, setup_context=_keep)


@functools.cache
def _way(device: torch.device, channels: int) -> Convolution:
    """Return how a device does it: by kernels where they can be made, which is tried once."""
    try:
        from ptycho_torch.networks.few_channels import FewChannels

        way = FewChannels()
        images = torch.zeros(16, channels, 16, 16, dtype=torch.bfloat16, device=device)
        weight, bias = torch.zeros(channels, channels, 3, 3, device=device), torch.zeros(channels, device=device)
        way.weight_slope(way.convolved(images, weight, bias), images, weight)
    except Exception as error:  # a compiler fails in many ways, and none of them is worth a run
        why = (str(error).strip() or repr(error)).splitlines()[0]
        logger.warning("convolutions of %d channels have no kernels of their own, which is slower: %s", channels, why)
        return Convolution()
    return way
