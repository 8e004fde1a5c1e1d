"""A convolution 3 x 3 and its gradients, the plain way."""

import torch
from torch import Tensor
from torch.nn import functional


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


def empty(images: Tensor, weight: Tensor) -> Tensor:
    """Return room for images convolved with a weight, the channels of a pixel side by side."""
    size = len(images), len(weight), *images.shape[2:]
    return torch.empty(size, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
