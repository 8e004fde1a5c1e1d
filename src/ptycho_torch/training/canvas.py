"""The object as training sees it, for free: the patches that its steps predict anyway, scattered where they lie."""

import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import divide, place_on_canvas, probe_weight

# Weight of what earlier epochs predicted beside what this one does.
FADING = 0.2


class RunningCanvas:
    """Patches of a scan weighted by the light of a probe and summed, at whole pixels: near enough to look at."""

    def __init__(self, probe: Complex64[Tensor, "mode y x"], scan: Scan) -> None:
        self._placement, _ = place_on_canvas(scan.positions, scan.size)
        self._weight = probe_weight(probe)
        n_pixels = self._placement.object_shape[0] * self._placement.object_shape[1]
        self._lit = torch.zeros(n_pixels, dtype=torch.complex64, device=scan.positions.device)
        self._light = torch.zeros(n_pixels, device=scan.positions.device)

    def add(self, members: Int64[Tensor, " patch"], patches: Complex64[Tensor, "group channel y x"]) -> None:
        """Scatter what was predicted for these patterns."""
        patches = patches.reshape(len(members), *self._weight.shape)
        index = self._placement.part(members).look().index.reshape(-1)
        self._lit.index_add_(0, index, (self._weight * patches).reshape(-1))
        self._light.index_add_(0, index, self._weight.expand(patches.shape).reshape(-1))

    def fade(self) -> None:
        """Let what was predicted so far count less."""
        self._lit.mul_(FADING)
        self._light.mul_(FADING)

    def merged(self) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
        """Return the object as it is now and the light on it."""
        shape = self._placement.object_shape
        return divide(self._lit.view(shape), self._light.view(shape).to(torch.complex64))
