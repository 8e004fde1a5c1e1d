"""The loss of a batch: what the counts say, and what we would rather see."""

from dataclasses import dataclass

from jaxtyping import Bool, Complex64, Float
from torch import Tensor

from ptycho_torch.objectives.amplitude import amplitude_error
from ptycho_torch.objectives.poisson import summed_deviance
from ptycho_torch.objectives.regularisers import mean_deviation, total_variation
from ptycho_torch.processes.world import ALONE, World


@dataclass(frozen=True)
class Objective:
    """Weights of the terms; a term of weight zero is not computed.

    loss = poisson * deviance / 2 + amplitude * amplitude_error / 2 + real_space * (TV + deviation * mean deviation),
    each a mean over trusted pixels; the first two are about 1/2 for the true object at any dose. With ``match_norm``
    the amplitude error does not see how bright a pattern is: expected counts are scaled to the measured total first.
    """

    poisson: float = 1.0
    amplitude: float = 0.0
    real_space: float = 0.0
    deviation: float = 0.0
    match_norm: bool = False

    def __call__(
        self,
        expected: Float[Tensor, "patch y x"],
        measured: Float[Tensor, "patch y x"],
        mask: Bool[Tensor, "y x"],
        canvas: Complex64[Tensor, "*region height width"],
        coverage: Float[Tensor, "*region height width"],
        world: World = ALONE,
    ) -> Tensor:
        """Return the loss of one batch; where several processes share it, the mean of what they return is its loss."""
        pixels = mask.sum() * len(measured)
        loss = expected.new_zeros(())
        if self.poisson:
            loss = loss + self.poisson * summed_deviance(expected, measured, mask) / (2 * pixels)
        if self.amplitude:
            judged = _matched(expected, measured, mask) if self.match_norm else expected
            loss = loss + self.amplitude * (amplitude_error(judged, measured) * mask).sum() / (2 * pixels)
        if self.real_space:
            loss = loss + self.real_space * total_variation(canvas, coverage, world)
            if self.deviation:
                loss = loss + self.real_space * self.deviation * mean_deviation(canvas, coverage, world)
        return loss


def _matched(
    expected: Float[Tensor, "patch y x"], measured: Float[Tensor, "patch y x"], mask: Bool[Tensor, "y x"]
) -> Float[Tensor, "patch y x"]:
    totals = (expected * mask).sum(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    return expected * ((measured * mask).sum(dim=(1, 2), keepdim=True) / totals)
