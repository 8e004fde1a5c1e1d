"""Door: stitching as older clients call it."""

from jaxtyping import Complex64, Float64
from numpy import ndarray

from ptycho.interop import frames

__all__ = ["reassemble_position"]


def reassemble_position(
    obj_tensor: Complex64[ndarray, "group y x _"], global_offsets: Float64[ndarray, "group 1 2 _"], M: int = 10
) -> Complex64[ndarray, "height width 1"]:
    """Place predicted objects at their positions, as `ptycho.interop.frames.reassemble_position` says."""
    return frames.reassemble_position(obj_tensor, global_offsets, M)
