"""What is expected of an object before a photon is counted, so that few photons are not taken at their word."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor

from ptycho_torch.physics.modulus import squared_modulus

Canvas = Complex[Tensor, "height width"]

# Width of the rounded tip of the penalty, in standard deviations of the shot noise of a pixel.
ROUNDED = 0.3
# A pixel with less than this share of the light that a photon finds is held as one with this much.
DIM = 1e-2
# Differences between neighbouring pixels that an object has of itself, as a share of its size: a prior that no longer
# knows noise from these grows no stronger.
OWN = 1.5e-2


@runtime_checkable
class Prior(Protocol):
    """Minus the log probability of an object, up to a constant: added to half the deviance it makes a MAP estimate.

    Values and curvatures stay on the device, for whoever asks has more to read back.
    """

    def __call__(self, object_: Canvas) -> tuple[Float64[Tensor, ""], Canvas]:
        """Return the value and its gradient, such that a change d adds Re <gradient, d>."""
        ...

    def dimmed(self, misfit: float) -> "Prior":
        """Return what is expected where counts differ from those of an estimate by more than noise.

        By ``misfit``, the mean deviance of a pixel, they tell as much as so many times fewer photons.
        """
        ...

    def curvature(self, object_: Canvas, along: Canvas) -> Float64[Tensor, ""]:
        """Return a curvature along a direction that no step of the value exceeds."""
        ...

    def stiffness(self, object_: Canvas) -> Float[Tensor, "height width"]:
        """Return, for every pixel, half the curvature when it alone is changed."""
        ...

    def half_hessian(self, object_: Canvas) -> Callable[[Canvas], Canvas]:
        """Return what makes of a change d half the change of the gradient, such that Re <d, H d> is half the curvature.

        It is at most twice its diagonal, the stiffness, as differences of neighbours are.
        """
        ...


@dataclass(frozen=True)
class TotalVariation:
    """Edge-preserving prior sum_r w(r) (sqrt(|grad O(r)|^2 + s^2) - s).

    Flat areas are preferred and an edge costs what it is high, not its square, so that it stays sharp (DOI
    10.1016/0167-2789(92)90242-F, with a rounded tip). The shot noise of a pixel is about 1 / sqrt(2 light): with the
    weight w = strength sqrt(light) one strength has the same effect on the image, measured in its noise, at any dose
    and wherever the light is uneven. It ends at w = strength / (0.015 size), what an object whose own differences have
    such a mean is worth (a Laplace distribution): so many photons know these, and are taken at their word.

    Attributes
    ----------
    strength
        0 or more, about 1; with 0 the likelihood alone decides.
    light
        sum_j |P_j|^2 on every pixel, counts.
    size
        Typical modulus of the object.
    """

    strength: float
    light: Float[Tensor, "height width"]
    size: float = 1.0

    def __call__(self, object_: Canvas) -> tuple[Float64[Tensor, ""], Canvas]:
        """Return the value and its gradient."""
        rows, columns, norm = self._slopes(object_)
        value = (self._weight * (norm - self._rounding)).sum(dtype=torch.float64)
        bend = self._weight / norm
        return value, _adjoint(rows * bend, columns * bend)

    def dimmed(self, misfit: float) -> "TotalVariation":
        """Return misfit times the prior of a scan with so many times less light.

        That prior belongs to a likelihood with so many times fewer counts; here the likelihood keeps all of them.
        """
        return replace(self, strength=misfit * self.strength, light=self.light / misfit)

    def curvature(self, object_: Canvas, along: Canvas) -> Float64[Tensor, ""]:
        """Return sum_r w |grad d|^2 / sqrt(|grad O|^2 + s^2), the parabola that lies above the value."""
        rows, columns = _gradient(along)
        return (self._bend(object_) * (squared_modulus(rows) + squared_modulus(columns))).sum(dtype=torch.float64)

    def stiffness(self, object_: Canvas) -> Float[Tensor, "height width"]:
        """Return half the curvature of the parabola above the value when one pixel is changed."""
        bend = self._bend(object_)
        stiff = torch.zeros_like(bend)
        stiff[:-1] += bend[:-1]
        stiff[1:] += bend[:-1]
        stiff[:, :-1] += bend[:, :-1]
        stiff[:, 1:] += bend[:, :-1]
        return stiff / 2

    def half_hessian(self, object_: Canvas) -> Callable[[Canvas], Canvas]:
        """Return d -> grad^T (w / 2 sqrt(|grad O|^2 + s^2)) grad d."""
        bend = self._bend(object_) / 2

        def made(change: Canvas) -> Canvas:
            rows, columns = _gradient(change)
            return _adjoint(rows * bend, columns * bend)

        return made

    @cached_property
    def _rounding(self) -> float:
        return ROUNDED / (2 * self._found_light) ** 0.5

    @cached_property
    def _weight(self) -> Float[Tensor, "height width"]:
        weight = self.light.clamp_min(DIM * self._found_light).sqrt().clamp_max(1 / (OWN * self.size))
        return self.strength * weight

    @cached_property
    def _found_light(self) -> float:
        """Mean light on the pixel that a photon finds, counts: above the typical one, where light is uneven."""
        return float(self.light.square().sum() / self.light.sum())

    def _bend(self, object_: Canvas) -> Float[Tensor, "height width"]:
        *_, norm = self._slopes(object_)
        return self._weight / norm

    def _slopes(self, object_: Canvas) -> tuple[Canvas, Canvas, Tensor]:
        rows, columns = _gradient(object_)
        return rows, columns, (squared_modulus(rows) + squared_modulus(columns) + self._rounding**2).sqrt()


def edge_preserving(strength: float, light: Float[Tensor, "height width"], object_: Canvas) -> Prior | None:
    """Return the prior of a strength for objects of the size of ``object_``; None for none.

    Other parameters are those of `TotalVariation`.
    """
    if not strength:
        return None
    size = ((light * squared_modulus(object_)).sum() / light.sum()).sqrt()
    return TotalVariation(strength, light, float(size))


def _gradient(canvas: Canvas) -> tuple[Canvas, Canvas]:
    """Return the differences to the next row and to the next column; zero at the last."""
    return torch.diff(canvas, dim=0, append=canvas[-1:]), torch.diff(canvas, dim=1, append=canvas[:, -1:])


def _adjoint(rows: Canvas, columns: Canvas) -> Canvas:
    """Return what `_gradient` makes of a canvas, backwards."""
    back = torch.zeros_like(rows)
    # Not `+=`, which would copy what it made onto itself.
    back[1:].add_(rows[:-1])
    back[:-1].sub_(rows[:-1])
    back[:, 1:].add_(columns[:, :-1])
    back[:, :-1].sub_(columns[:, :-1])
    return back
