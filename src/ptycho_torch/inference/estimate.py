"""What is assumed of a scan: object and probe, and what else the iterations may put right."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from jaxtyping import Complex64, Float32, Float64
from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """What is assumed of a scan, or a direction in the space of that; what is None is not in doubt.

    I_j = sum_m |F[P_jm . O_j]|^2 + b^2, with the probe P_jm = g_j (P_m + sum_k a_jk V_k for m = 0) at position j.

    Attributes
    ----------
    object_, probe
        Object; probe modes P_m, sqrt(counts).
    positions
        (y, x) of every frame of the scan, px from the first pixel of the canvas, instead of those of the placement.
    gain
        Factor g_j of every frame on the field: the square root of its flux.
    haze
        Square root b of the counts that every pixel gets without the sample.
    variations, weights
        Modes V_k of the probe's change, and how much of each there is in every frame.
    """

    object_: Complex64[Tensor, "height width"]
    probe: Complex64[Tensor, "mode y x"]
    positions: Float64[Tensor, "frame 2"] | None = None
    gain: Float32[Tensor, " frame"] | None = None
    haze: Float32[Tensor, ""] | None = None
    variations: Complex64[Tensor, "variation y x"] | None = None
    weights: Float32[Tensor, "frame variation"] | None = None

    @property
    def parts(self) -> dict[str, Tensor]:
        """Name -> tensor of all that is not None."""
        return {part.name: value for part in fields(self) if (value := getattr(self, part.name)) is not None}

    def dot(self, other: "Estimate") -> Float64[Tensor, ""]:
        """Return the real inner product Re <self, other>."""
        return torch.stack([_dot(mine, getattr(other, name)) for name, mine in self.parts.items()]).sum()

    @property
    def numbers(self) -> Float32[Tensor, " number"]:
        """All parts as one row of real numbers, in single precision: for directions, not for positions themselves."""
        return torch.cat([_real(part).reshape(-1).to(torch.float32) for part in self.parts.values()])

    def of_numbers(self, numbers: Float32[Tensor, " number"]) -> "Estimate":
        """Return an estimate with the parts of this one that has such `numbers`."""
        reals = {name: _real(part) for name, part in self.parts.items()}
        rows = numbers.split([real.numel() for real in reals.values()])
        found = {}
        for (name, real), row in zip(reals.items(), rows, strict=True):
            part = row.view(real.shape).to(real.dtype)
            found[name] = torch.complex(*part.unbind(-1)) if self.parts[name].is_complex() else part
        return Estimate(**found)

    def plus(self, factor: float, other: "Estimate") -> "Estimate":
        """Return self + factor * other."""
        return Estimate(**{name: mine.add(getattr(other, name), alpha=factor) for name, mine in self.parts.items()})

    def times(self, factor: float | Mapping[str, Tensor | float]) -> "Estimate":
        """Return every part multiplied by a factor, or by one of its own."""
        factors = dict.fromkeys(self.parts, factor) if isinstance(factor, float | int) else factor
        return Estimate(**{name: mine * factors[name] for name, mine in self.parts.items()})

    def exposed(self, factor: float) -> "Estimate":
        """Return the same with a factor on all expected counts."""
        fields_on_detector = ("probe", "haze", "variations")
        return self.times({name: factor**0.5 if name in fields_on_detector else 1.0 for name in self.parts})


def _real(part: Tensor) -> Tensor:
    return torch.view_as_real(part) if part.is_complex() else part


def _dot(one: Tensor, other: Tensor) -> Float64[Tensor, ""]:
    return (_real(one) * _real(other)).sum(dtype=torch.float64)
