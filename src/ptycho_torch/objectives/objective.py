"""The loss of a batch: what the counts say, and what we would rather see."""

from dataclasses import dataclass

from jaxtyping import Bool, Complex64, Float
from torch import Tensor

from ptycho_torch.objectives.amplitude import amplitude_error
from ptycho_torch.objectives.poisson import poisson_deviance
from ptycho_torch.objectives.regularisers import mean_deviation, total_variation


@dataclass(frozen=True)
class Objective:
    """Weights of the terms; a term of weight zero is not computed.

    loss = poisson * deviance / 2 + amplitude * amplitude_error / 2 + real_space * (TV + deviation * mean deviation),
    each a mean over trusted pixels; the first two are about 1/2 for the true object at any dose.
    """

    poisson: float = 1.0
    amplitude: float = 0.0
    real_space: float = 0.0
    deviation: float = 0.0

    def __call__(
        self,
        expected: Float[Tensor, "patch y x"],
        measured: Float[Tensor, "patch y x"],
        mask: Bool[Tensor, "y x"],
        canvas: Complex64[Tensor, "height width"],
        coverage: Float[Tensor, "height width"],
    ) -> Tensor:
        """Return the loss of one batch."""
        pixels = mask.sum() * len(measured)
        loss = expected.new_zeros(())
        if self.poisson:
            loss = loss + self.poisson * (poisson_deviance(expected, measured) * mask).sum() / (2 * pixels)
        if self.amplitude:
            loss = loss + self.amplitude * (amplitude_error(expected, measured) * mask).sum() / (2 * pixels)
        if self.real_space:
            loss = loss + self.real_space * total_variation(canvas, coverage)
            if self.deviation:
                loss = loss + self.real_space * self.deviation * mean_deviation(canvas, coverage)
        return loss
