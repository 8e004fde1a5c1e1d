"""Cutting patches from the object; its adjoint is stitching."""

from functools import cached_property

import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor

from ptycho_torch.physics.operator import LinearOperator


class PatchesAt(LinearOperator):
    """Cut patches at whole-pixel corners: patch_j[i, k] = O[y_j + i, x_j + k].

    The adjoint adds every patch back where it was cut. A sub-pixel remainder of a position is not interpolated here:
    it is carried by the probe (`SubpixelShift`), which is exact for a probe that vanishes at the patch's edge.

    Parameters
    ----------
    corners
        (patch, 2) int64, (y, x) of the first pixel of each patch, px.
    size
        Side N of a patch, px.
    object_shape
        (height, width) of the object, px. Every patch must lie inside.
    """

    first: Tensor
    within: Tensor

    def __init__(self, corners: Int64[Tensor, "patch 2"], size: int, object_shape: tuple[int, int]) -> None:
        super().__init__()
        height, width = object_shape
        axis = torch.arange(size, dtype=torch.int32, device=corners.device)
        first = (corners[:, 0] * width + corners[:, 1]).to(torch.int32)
        self.register_buffer("first", first[:, None, None], persistent=False)
        self.register_buffer("within", axis[:, None] * width + axis, persistent=False)
        self.object_shape = (height, width)

    @cached_property
    def index(self) -> Int32[Tensor, "patch y x"]:
        """Where every pixel of the patches lies in the object, row after row; made when it is needed."""
        return self.first + self.within

    def forward(self, x: Shaped[Tensor, "height width"]) -> Shaped[Tensor, "patch y x"]:
        """Cut the patches from an object."""
        index = self.index
        return x.reshape(-1).index_select(0, index.reshape(-1)).view(index.shape)

    def adjoint(self, y: Shaped[Tensor, "patch y x"]) -> Shaped[Tensor, "height width"]:
        """Add the patches onto an empty canvas."""
        return self.add_to(torch.zeros(self.object_shape, dtype=y.dtype, device=y.device), y)

    def add_to(
        self, canvas: Shaped[Tensor, "height width"], patches: Shaped[Tensor, "patch y x"]
    ) -> Shaped[Tensor, "height width"]:
        """Add the patches onto a canvas, in place, and return it: what parts of a scan cost is what they cover."""
        canvas.view(-1).index_add_(0, self.index.reshape(-1), patches.reshape(-1))
        return canvas
