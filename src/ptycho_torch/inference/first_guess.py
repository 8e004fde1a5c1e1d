"""The inverse Hessian before any step has told of it: values by their own stiffness, phases frame by frame, a prior."""

from dataclasses import replace

import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho.metrics.region import typical_light
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.held_pixels import HeldPixels
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.physics.modulus import squared_modulus

# A canvas pixel with less than this share of the median light is held back to where its neighbours leave it.
DIM = 1e-2
# Frames whose phases are one unknown each; those of more frames are put together by place.
MOST_UNKNOWN = 1024
# Stiffness of a phase that all frames share, which no count knows, as a share of the light of a frame.
SHARED = 0.03
# Frames whose neighbours are looked for together.
FRAMES_AT_ONCE = 256


class FirstGuess:
    """Inverse of a guess of the Hessian, times a gradient: a value's own stiffness, and for the object two things more.

    `FramePhases`, and `HeldPixels` where something is expected of the object.

    Parameters
    ----------
    likelihood, at
        Where the guess is made, and what is free there.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        known = _held_back(likelihood.stiffness(at))
        self._inverse = {name: 1 / stiff for name, stiff in known.items()}
        object_free, prior = "object_" in likelihood.free, likelihood.prior
        self._phases = FramePhases(likelihood, at) if object_free else None
        self._held = HeldPixels(known["object_"], prior, at.object_) if object_free and prior is not None else None

    def __call__(self, gradient: Estimate) -> Estimate:
        """Return the inverse times a gradient."""
        scaled = gradient.times(self._inverse)
        if self._phases is None:
            return scaled
        pixels = scaled.object_ if self._held is None else self._held(gradient.object_)
        return replace(scaled, object_=pixels + self._phases(gradient.object_))


class FramePhases:
    """What long waves of the object's phase need beyond the stiffness of their pixels.

    A frame does not know its own phase. Where the phases on the detector are as good as random, it knows of a change
    phi of the object's phase sum_r w_j (phi - its mean over w_j)^2, with its light w_j. All frames together make half
    the Hessian diag(l) - sum_j w_j w_j^T / W with l = sum_j w_j and W = sum_r w_j, whose inverse (Woodbury) is

        1 / l + B^T (W - B diag(l) B^T)^-1 B,   B = rows w_j / l.

    The first term is the stiffness of pixels; this is the second. Its matrix is the Laplacian of the graph of the
    frames, joined by the light that they share over the light that falls there, sum_r w_j w_k / l: phases of
    overlapping frames are made to agree as in angular synchronisation (DOI 10.1016/j.acha.2010.02.001), to first
    order. The light is that of the common probe at whole pixels, and l that which a frame sees in the mean; B is a
    convolution.

    Parameters
    ----------
    likelihood, at
        The frames, and object and probe.
    """

    def __init__(self, likelihood: Likelihood, at: Estimate) -> None:
        self._shape = likelihood.object_shape
        light = squared_modulus(at.probe).sum(dim=0)
        # Squares of counts are no numbers in single precision where a probe is in units of its own.
        self._unit = light.sum()
        light = light / self._unit
        self._first = likelihood.placement.corners[likelihood.frames]
        self._spectrum = torch.fft.rfft2(light, s=self._shape)
        whole = self._spread(light.new_ones(len(self._first))).clamp_min(0)
        self._whole = whole.clamp_min(DIM * typical_light(whole.cpu().numpy()))
        self._places = _places(self._first)
        joined = _joined(light, self._first, self._seen(whole), self._places)
        own = joined.sum(dim=1)
        self._triangle = torch.linalg.cholesky(torch.diag((1 + SHARED) * own) - joined)
        power = (whole * squared_modulus(at.object_)).sum() / whole.sum()
        self._turn = 1j * at.object_ / power.sqrt()

    def __call__(self, gradient: Complex64[Tensor, "height width"]) -> Complex64[Tensor, "height width"]:
        """Return the step of the object that brings the frames' phases together, for a gradient."""
        slope = (self._turn.conj() * gradient).real
        known = torch.zeros(len(self._triangle), device=slope.device)
        known.index_add_(0, self._places, self._seen(slope / self._whole))
        phases = torch.cholesky_solve(known[:, None], self._triangle)[:, 0]
        return self._turn * (self._spread(phases[self._places]) / self._whole / self._unit)

    def _spread(self, values: Float32[Tensor, " frame"]) -> Float32[Tensor, "height width"]:
        """Return sum_j v_j w_j."""
        height, width = self._shape
        canvas = torch.zeros(height * width, device=values.device)
        canvas.index_add_(0, self._first[:, 0] * width + self._first[:, 1], values)
        return torch.fft.irfft2(torch.fft.rfft2(canvas.view(self._shape)) * self._spectrum, s=self._shape)

    def _seen(self, image: Float32[Tensor, "height width"]) -> Float32[Tensor, " frame"]:
        """Return sum_r w_j(r) image(r) for every frame: the adjoint of `_spread`."""
        seen = torch.fft.irfft2(torch.fft.rfft2(image) * self._spectrum.conj(), s=self._shape)
        return seen[self._first[:, 0], self._first[:, 1]]


def _places(first: Int64[Tensor, "frame 2"]) -> Int64[Tensor, " frame"]:
    """Return the number of the place of every frame: squares of the field, so large that there are few enough."""
    side = 1
    while True:
        squares, places = torch.unique((first - first.amin(dim=0)) // side, dim=0, return_inverse=True)
        if len(squares) <= MOST_UNKNOWN:
            return places
        side += 1 + side // 4


def _joined(
    light: Float32[Tensor, "y x"],
    first: Int64[Tensor, "frame 2"],
    seen: Float32[Tensor, " frame"],
    places: Int64[Tensor, " frame"],
) -> Float32[Tensor, "place place"]:
    """Return sum_r w_j w_k / l summed over the frames of two places, l being the mean light that they see."""
    size, n_places = len(light), int(places.max()) + 1
    wide = (2 * size, 2 * size)
    shared = torch.fft.irfft2(squared_modulus(torch.fft.rfft2(light, s=wide)), s=wide).clamp_min(0)
    order = first[:, 0].argsort()
    first, scale, places = first[order], seen[order].rsqrt(), places[order]
    rows = first[:, 0].contiguous()
    joined = torch.zeros(n_places * n_places, device=light.device)
    for some in torch.arange(len(first), device=light.device).split(FRAMES_AT_ONCE):
        ends = torch.stack([rows[some[0]] - size + 1, rows[some[-1]] + size])
        near = slice(*torch.searchsorted(rows, ends).tolist())
        apart = first[some, None] - first[near]
        reach = shared[apart[..., 0] % (2 * size), apart[..., 1] % (2 * size)] * (apart.abs() < size).all(dim=2)
        pairs = places[some, None] * n_places + places[near]
        joined.index_add_(0, pairs.flatten(), (reach * scale[some, None] * scale[near]).flatten())
    return joined.view(n_places, n_places)


def _held_back(stiffness: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return stiffnesses that nothing is free of, so that no step goes where the scan knows next to nothing."""
    return {
        name: stiff + DIM * (stiff[stiff > 0].median() if name == "object_" else stiff.amax())
        for name, stiff in stiffness.items()
    }
