"""A convolution 3 x 3, and how a device does it."""

import functools
import logging
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ptycho_torch.networks.convolution import Convolution, empty

logger = logging.getLogger(__name__)

# Numbers of channels for which the libraries of a GPU leave most of it idle, and kernels of our own do not.
FEW = (8, 16, 32)


class ThreeByThree(nn.Conv2d):
    """A convolution 3 x 3 with zeros around the image."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel_out y x"]:
        """Convolve features; few channels in bfloat16 have kernels on a GPU."""
        if x.is_cuda and _short(x) and self.in_channels in FEW and self.out_channels in FEW:
            return convolved(x.to(torch.bfloat16), self.weight, self.bias)
        return super().forward(x)


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


@torch.library.custom_op("ptychopinn::image_slope", mutates_args=())
def _image_slope(slope: Tensor, weight: Tensor) -> Tensor:
    found = _way(slope.device, *weight.shape[:2]).image_slope(slope, weight)
    return found.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("ptychopinn::weight_slope", mutates_args=())
def _weight_slope(slope: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    return _way(slope.device, *weight.shape[:2]).weight_slope(slope, images, weight)


@convolved.register_fake
def _(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return empty(images, weight)


@_image_slope.register_fake
def _(slope: Tensor, weight: Tensor) -> Tensor:
    return empty(slope, weight.transpose(0, 1))


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
def _way(device: torch.device, channels_out: int, channels: int) -> Convolution:
    """Return how a device does it: by kernels where they can be made, which is tried once."""
    try:
        from ptycho_torch.networks.few_channels import FewChannels

        way = FewChannels()
        images = torch.zeros(16, channels, 16, 16, dtype=torch.bfloat16, device=device)
        weight, bias = (
            torch.zeros(channels_out, channels, 3, 3, device=device),
            torch.zeros(channels_out, device=device),
        )
        slope = way.convolved(images, weight, bias)
        way.image_slope(slope, weight)
        way.weight_slope(slope, images, weight)
    except Exception as error:  # a compiler fails in many ways, and none of them is worth a run
        why = (str(error).strip() or repr(error)).splitlines()[0]
        which = f"{channels} to {channels_out} channels"
        logger.warning("convolutions of %s have no kernels of their own, which is slower: %s", which, why)
        return Convolution()
    return way
