"""An object on its way to somebody who watches."""

from jaxtyping import Complex64, Float32
from torch import Tensor

from ptycho.base.watching import PICTURE_SIDE, Watcher


def show(
    watcher: Watcher, object_: Complex64[Tensor, "height width"], coverage: Float32[Tensor, "height width"]
) -> None:
    """Give an object, and the light on it in counts, to a watcher; of a large one every second, third, ... pixel."""
    step = -(-max(object_.shape) // PICTURE_SIDE)
    # A copy: what lies on the CPU already goes on changing.
    thin = (image.detach()[::step, ::step].clone().cpu().numpy() for image in (object_, coverage))
    watcher.draw(*thin)
