"""The inverse Hessian before any step has told of it: values by their own stiffness, phases frame by frame, a prior."""

from functools import partial

import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho.metrics.region import typical_light
from ptycho_torch.base.devices import free_memory
from ptycho_torch.inference.captured import Replayed
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
# Canvases that a recorded guess holds in between, at most.
CANVASES = 64
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
        self._of = {name: partial(torch.mul, 1 / stiff) for name, stiff in known.items()}
        if "object_" in likelihood.free:
            phases, pixels = FramePhases(likelihood, at), self._of["object_"]
            if likelihood.prior is not None:
                pixels = HeldPixels(known["object_"], likelihood.prior, at.object_)

            def guess(slope: Complex64[Tensor, "height width"]) -> Complex64[Tensor, "height width"]:
                return pixels(slope) + phases(slope)

            room = at.object_.is_cuda and CANVASES * at.object_.nbytes <= free_memory(at.object_.device) / 2
            self._of["object_"] = Replayed(guess, "a first guess") if room else guess

    def __call__(self, gradient: Estimate) -> Estimate:
        """Return the inverse times a gradient; it holds until the next is asked for."""
        return Estimate(**{name: self._of[name](part) for name, part in gradient.parts.items()})


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
    convolution, on a canvas of a size that transforms are fast at. No frame reaches over its edge.

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
        self._wide = tuple(_fast(length) for length in self._shape)
        corners = likelihood.placement.corners[likelihood.frames]
        self._first = corners[:, 0] * self._wide[1] + corners[:, 1]
        self._spectrum = torch.fft.rfft2(light, s=self._wide)
        self._mirrored = self._spectrum.conj().resolve_conj()
        whole = self._spread(light.new_ones(len(corners))).clamp_min(0)
        divisor = whole.clamp_min(DIM * typical_light(whole.cpu().numpy()))
        self._places = _places(corners)
        joined = _joined(light, corners, self._seen(whole), self._places)
        own = joined.sum(dim=1)
        triangle = torch.linalg.cholesky(torch.diag((1 + SHARED) * own) - joined)
        # As good as solving by triangles, for no eigenvalue is small, and one operation instead of many in a row.
        self._inverse = torch.cholesky_inverse(triangle)
        power = (whole * squared_modulus(at.object_)).sum() / whole.sum()
        # From slopes to those along the phase, over the light, and back.
        turn = 1j * at.object_ / power.sqrt() / divisor
        self._along, self._turn = turn.conj().resolve_conj(), turn / self._unit

    def __call__(self, gradient: Complex64[Tensor, "height width"]) -> Complex64[Tensor, "height width"]:
        """Return the step of the object that brings the frames' phases together, for a gradient."""
        slope = (self._along * gradient).real
        known = torch.zeros(len(self._inverse), device=slope.device)
        known.index_add_(0, self._places, self._seen(slope))
        phases = (self._inverse * known).sum(dim=1)
        return self._turn * self._spread(phases[self._places])

    def _spread(self, values: Float32[Tensor, " frame"]) -> Float32[Tensor, "height width"]:
        """Return sum_j v_j w_j."""
        canvas = torch.zeros(self._wide, device=values.device)
        canvas.view(-1).index_add_(0, self._first, values)
        height, width = self._shape
        return torch.fft.irfft2(torch.fft.rfft2(canvas) * self._spectrum, s=self._wide)[:height, :width]

    def _seen(self, image: Float32[Tensor, "height width"]) -> Float32[Tensor, " frame"]:
        """Return sum_r w_j(r) image(r) for every frame: the adjoint of `_spread`."""
        seen = torch.fft.irfft2(torch.fft.rfft2(image, s=self._wide) * self._mirrored, s=self._wide)
        return seen.view(-1)[self._first]


def _fast(length: int) -> int:
    """Return an even length that is not less and has no prime factors but 2, 3 and 5."""
    from scipy.fft import next_fast_len

    return 2 * next_fast_len(-(-length // 2), real=True)


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
