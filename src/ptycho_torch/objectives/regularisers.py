"""What we would rather see in an object, when the counts leave a choice."""

from jaxtyping import Complex64, Float
from torch import Tensor

from ptycho_torch.processes.world import ALONE, World

Canvas = Complex64[Tensor, "*region height width"]
Weight = Float[Tensor, "*region height width"]


def total_variation(canvas: Canvas, weight: Weight, world: World = ALONE) -> Tensor:
    """Return the weighted mean of |d_y O| + |d_x O| over neighbouring pixels that light has reached."""
    down = ((canvas[..., 1:, :] - canvas[..., :-1, :]).abs() * weight[..., 1:, :]).sum()
    right = ((canvas[..., 1:] - canvas[..., :-1]).abs() * weight[..., 1:]).sum()
    return world.total(down + right) / world.total(weight.sum())


def mean_deviation(canvas: Canvas, weight: Weight, world: World = ALONE) -> Tensor:
    """Return the weighted mean of |O - mean(O)|."""
    total = world.total(weight.sum())
    mean = world.total((canvas * weight).sum()) / total
    return world.total(((canvas - mean).abs() * weight).sum()) / total
