"""Cutting patches from the object; its adjoint is stitching."""

from functools import cached_property

import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor

from ptycho_torch.physics.operator import LinearOperator
from ptycho_torch.physics.per_pixel import per_pixel


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
    n_regions
        Regions of as many patches each, one below the other: their patches follow each other and share no pixels.
    """

    first: Tensor

    def __init__(
        self, corners: Int64[Tensor, "patch 2"], size: int, object_shape: tuple[int, int], n_regions: int = 1
    ) -> None:
        super().__init__()
        height, width = object_shape
        first = (corners[:, 0] * width + corners[:, 1]).to(torch.int32)
        self.register_buffer("first", first[:, None, None], persistent=False)
        self.object_shape = (height, width)
        self.size, self.n_regions = size, n_regions

    @cached_property
    def index(self) -> Int32[Tensor, "patch y x"]:
        """Where every pixel of the patches lies in the object, row after row; made when it is needed."""
        axis = torch.arange(self.size, dtype=torch.int32, device=self.first.device)
        return self.first + (axis[:, None] * self.object_shape[1] + axis)

    def forward(self, x: Shaped[Tensor, "height width"]) -> Shaped[Tensor, "patch y x"]:
        """Cut the patches from an object."""
        return per_pixel(x).cut(x, self)

    def adjoint(self, y: Shaped[Tensor, "patch y x"]) -> Shaped[Tensor, "height width"]:
        """Add the patches onto an empty canvas."""
        return per_pixel(y).stitched(y, self)

    def add_to(
        self, canvas: Shaped[Tensor, "height width"], patches: Shaped[Tensor, "patch y x"]
    ) -> Shaped[Tensor, "height width"]:
        """Add the patches onto a canvas, in place, and return it: what parts of a scan cost is what they cover."""
        return per_pixel(patches).add_to(canvas, patches, self)
