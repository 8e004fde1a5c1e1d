"""The object as training sees it, for free: the patches that its steps predict anyway, scattered where they lie."""

from typing import Any

import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import divide, place_on_canvas, probe_weight
from ptycho_torch.pinn.pinn import PtychoPINN

# Weight of what earlier epochs predicted beside what this one does.
FADING = 0.2


class RunningCanvas:
    """Patches weighted by the light and summed, at whole pixels: near enough to look at.

    It listens to the network of ``pinn`` from now on, while that trains on ``scan``.
    """

    def __init__(self, pinn: PtychoPINN, scan: Scan) -> None:
        self._placement, _ = place_on_canvas(scan.positions, scan.size)
        self._weight = probe_weight(pinn.probe.detach())
        self._patches: Tensor | None = None
        n_pixels = self._placement.object_shape[0] * self._placement.object_shape[1]
        self._lit = torch.zeros(n_pixels, dtype=torch.complex64, device=scan.positions.device)
        self._light = torch.zeros(n_pixels, device=scan.positions.device)
        pinn.network.register_forward_hook(self._listen)

    def _listen(self, network: torch.nn.Module, _seen: Any, patches: Tensor) -> None:
        if network.training:
            self._patches = patches.detach()

    def add(self, members: Int64[Tensor, " patch"]) -> None:
        """Scatter what the network predicted last, for these patterns."""
        if self._patches is None:
            return
        patches = self._patches.reshape(len(members), *self._weight.shape).to(torch.complex64)
        index = self._placement.part(members).look().index.reshape(-1)
        self._lit.index_add_(0, index, (self._weight * patches).reshape(-1))
        self._light.index_add_(0, index, self._weight.expand(patches.shape).reshape(-1))
        self._patches = None

    def fade(self) -> None:
        """Let what was predicted so far count less."""
        self._lit.mul_(FADING)
        self._light.mul_(FADING)

    def merged(self) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
        """Return the object as it is now and the light on it."""
        shape = self._placement.object_shape
        return divide(self._lit.view(shape), self._light.view(shape).to(torch.complex64))
