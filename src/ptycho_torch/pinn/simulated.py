"""From what a step of a stream draws to counts with a known truth, and how far a network is from it."""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from ptycho_torch.data.batch import Batch
from ptycho_torch.data.stream import Draw, Pictures
from ptycho_torch.physics.forward import detector, probe_weight, stack_regions
from ptycho_torch.physics.modulus import squared_modulus
from ptycho_torch.pinn.pinn import Prediction

# Keeps the slope of the root finite where a region is solved: a relative error of 0.03 %.
SOLVED = 1e-7


@dataclass(frozen=True)
class Simulated:
    """Counts of regions, the probe of each, and its true object (region, height, width) on its canvas.

    As a measured scan is brought to the network: each probe carries the mean counts of its region, the mean
    transmission of the object is in it, and the constant phase, which counts don't know, is removed.
    """

    batch: Batch
    probe: Complex64[Tensor, "region mode y x"]
    truth: Complex64[Tensor, "region height width"]


@torch.no_grad()
def simulate(draw: Draw, pictures: Pictures) -> Simulated:
    """Return the counts that a detector would record, n ~ Poisson(sum_m |F[P_m . O_j]|^2), with the truth.

    Its fresh pictures are taken in first.
    """
    pictures.add(draw.pictures)
    n_regions, n_members, _ = draw.positions.shape
    size, device = draw.probe.shape[-1], draw.probe.device
    placement = stack_regions(draw.positions, size, draw.sides)
    height, width = placement.object_shape
    objects = pictures.objects(draw, (height // n_regions, width))
    look = placement.look()
    probe = placement.place().spread(draw.probe.repeat_interleave(n_members, dim=0))
    expected = detector(probe)(look(objects.flatten(0, 1)))
    counts = torch.poisson(expected, generator=torch.Generator(device).manual_seed(draw.seed))
    # A region of no counts at all would have no unit.
    mean_counts = counts.view(n_regions, -1).sum(dim=1).clamp_min(1) / n_members
    unit = (mean_counts / probe_weight(draw.probe).sum(dim=(1, 2))).sqrt()[:, None, None]
    light = look.adjoint(probe_weight(probe)).view(objects.shape)
    mean = (light * objects).sum(dim=(1, 2), keepdim=True)
    turn = torch.polar(torch.ones_like(mean.real), -mean.angle())
    return Simulated(Batch(counts, draw.positions, sides=draw.sides), draw.probe * unit[:, None], turn / unit * objects)


def relative_errors(
    prediction: Prediction, truth: Complex64[Tensor, "region height width"]
) -> Float32[Tensor, " region"]:
    """Return sum w |O - O_true|^2 / sum w |O_true|^2 of every region, w the light on each pixel of its canvas.

    It is the error of the exit waves of all patches that are cut from the canvas.
    """
    light = prediction.coverage.view(truth.shape)
    error = squared_modulus(prediction.canvas.view(truth.shape) - truth)
    power = squared_modulus(truth)
    return (light * error).sum(dim=(1, 2)) / (light * power).sum(dim=(1, 2))


def distance(prediction: Prediction, truth: Complex64[Tensor, "region height width"]) -> Tensor:
    """Return the mean over regions of the relative error, the root of `relative_errors`.

    The slope of a root is as steep for a small error as for a large one: a faint or bright region, whose error is
    small, says as much as a strong or noisy one.
    """
    return (relative_errors(prediction, truth) + SOLVED).sqrt().mean()
