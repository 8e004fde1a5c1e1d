"""Convolutions 3 x 3, to the same sides and to half of them, and their gradients, the plain way."""

import torch
from torch import Tensor
from torch.nn import functional


class Convolution:
    """The convolution, what surrounds it in residual blocks, and gradients: plain, in the precision of the images."""

    def convolved(self, images: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None = None) -> Tensor:
        """Return images convolved with a weight, plus a bias, plus what is added."""
        found = functional.conv2d(images, weight.to(images.dtype), bias.to(images.dtype), padding=1)
        return found if added is None else added + found

    def activated(self, images: Tensor, weight: Tensor, bias: Tensor, *, kept: bool) -> tuple[Tensor | None, Tensor]:
        """Return images convolved with a weight, plus a bias, where that shall be kept, and its gelu."""
        found = self.convolved(images, weight, bias)
        return found if kept else None, functional.gelu(found)

    def image_slope(
        self, slope: Tensor, weight: Tensor, through: Tensor | None = None, added: Tensor | None = None
    ) -> Tensor:
        """Return the gradient with respect to the images, or to those whose gelu they are, plus what is added."""
        found = functional.conv_transpose2d(slope, weight.to(slope.dtype), padding=1)
        if through is not None:
            found = torch.ops.aten.gelu_backward(found, through)
        return found if added is None else added + found

    def weight_slope(self, slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients with respect to the weight and the bias."""
        found = torch.nn.grad.conv2d_weight(images, weight.shape, slope, padding=1)
        return torch.empty_like(weight).copy_(found), slope.sum(dim=(0, 2, 3), dtype=weight.dtype)


class HalvingConvolution:
    """The convolution to half of even sides, and its gradients: plain, in the precision of the images."""

    def halved(self, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return images convolved with a weight, plus a bias, at every second pixel of every second row."""
        return functional.conv2d(images, weight.to(images.dtype), bias.to(images.dtype), stride=2, padding=1)

    def image_slope(self, slope: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient with respect to the images."""
        return functional.conv_transpose2d(slope, weight.to(slope.dtype), stride=2, padding=1, output_padding=1)

    def weight_slope(self, slope: Tensor, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients with respect to the weight and the bias."""
        found = torch.nn.grad.conv2d_weight(images, weight.shape, slope, stride=2, padding=1)
        return torch.empty_like(weight).copy_(found), slope.sum(dim=(0, 2, 3), dtype=weight.dtype)


def empty(images: Tensor, weight: Tensor) -> Tensor:
    """Return room for images convolved with a weight, the channels of a pixel side by side."""
    return _room(images, (len(images), len(weight), *images.shape[2:]))


def empty_half(images: Tensor, weight: Tensor) -> Tensor:
    """Return room for images convolved with a weight to half their sides."""
    batch, _, height, width = images.shape
    return _room(images, (batch, len(weight), height // 2, width // 2))


def empty_twice(slope: Tensor, weight: Tensor) -> Tensor:
    """Return room for the gradient of images that were convolved with a weight to half their sides."""
    batch, _, height, width = slope.shape
    return _room(slope, (batch, weight.shape[1], 2 * height, 2 * width))


def _room(images: Tensor, size: tuple[int | torch.SymInt, ...]) -> Tensor:
    return torch.empty(size, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
