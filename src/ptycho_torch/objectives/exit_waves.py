"""How far exit waves are from the true ones, where the object is known."""

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from ptycho_torch.processes.world import ALONE, World

Waves = Complex[Tensor, "patch mode y x"]


def exit_wave_error(
    waves: Waves,
    true_waves: Waves,
    known: Bool[Tensor, "patch y x"],
    world: World = ALONE,
) -> Tensor:
    """Return sum |P O - P O_true|^2 / sum |P O_true|^2 over modes and known pixels: the squared relative error.

    It is the error of the complex patches weighted by |P|^2: what no light reached costs nothing. 0 for the truth, 1
    for an empty patch, and the same when counts, or the amplitudes of both objects, are multiplied by a factor.
    Where ``world`` has several processes their patches are one batch.
    """
    seen = known[:, None]
    error = (torch.view_as_real(waves - true_waves).square().sum(dim=-1) * seen).sum()
    light = (torch.view_as_real(true_waves).square().sum(dim=-1) * seen).sum()
    return world.total(error) / world.total(light).clamp_min(torch.finfo(light.dtype).tiny)
