"""What we would rather see in an object, when the counts leave a choice."""

from jaxtyping import Complex64, Float
from torch import Tensor

Canvas = Complex64[Tensor, "height width"]


def total_variation(canvas: Canvas, weight: Float[Tensor, "height width"]) -> Tensor:
    """Return the weighted mean of |d_y O| + |d_x O| over neighbouring pixels that light has reached."""
    down = ((canvas[1:] - canvas[:-1]).abs() * weight[1:]).sum()
    right = ((canvas[:, 1:] - canvas[:, :-1]).abs() * weight[:, 1:]).sum()
    return (down + right) / weight.sum()


def mean_deviation(canvas: Canvas, weight: Float[Tensor, "height width"]) -> Tensor:
    """Return the weighted mean of |O - mean(O)|."""
    total = weight.sum()
    mean = (canvas * weight).sum() / total
    return ((canvas - mean).abs() * weight).sum() / total
