"""Where the parts of a model begin that neither the network nor the scan's file knows, and how they are told."""

from dataclasses import replace

import torch
from jaxtyping import Complex64, Float32, Int64
from torch import Tensor

from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood

# Share of the detector's pixels that are taken for dark, and the counts that one has at least: the square root of
# the background has no slope at zero.
DARK = 0.02
FAINTEST = 1e-3
# Frames that the first variations of the probe are taken from, at most.
MOST_FRAMES = 1024


def entered(likelihood: Likelihood, at: Estimate, free: frozenset[str], n_variations: int) -> Estimate:
    """Return an estimate with a first value of every free part that it does not have yet."""
    n_frames, device = len(likelihood.scan), at.object_.device
    missing = free - at.parts.keys()
    if "positions" in missing:
        at = replace(at, positions=likelihood.placement.positions)
    if "gain" in missing:
        at = replace(at, gain=torch.ones(n_frames, device=device))
    if "haze" in missing:
        at = replace(at, haze=dark_counts(likelihood).clamp_min(FAINTEST).sqrt())
    if "variations" in missing:
        weights = torch.zeros(n_frames, n_variations, device=device)
        at = replace(at, variations=leading_variations(likelihood, at, n_variations), weights=weights)
    return at


def dark_counts(likelihood: Likelihood) -> Tensor:
    """Return the mean counts that all but the darkest of the trusted pixels exceed."""
    total = torch.zeros(likelihood.scan.mask.shape, device=likelihood.frames.device)
    for chunk in likelihood.chunks:
        total += likelihood.scan.counts(chunk.frames, chunk.then).sum(dim=0)
    likelihood.world.sum(total)
    return (total / len(likelihood.frames))[likelihood.scan.mask].quantile(DARK)


def leading_variations(likelihood: Likelihood, at: Estimate, n_variations: int) -> Complex64[Tensor, "variation y x"]:
    """Return the modes in which frames most disagree about the main mode of the probe, each as strong as that.

    Principal components of what every frame alone says of it, over the real numbers (DOI 10.1364/OE.24.008360).
    """
    some = likelihood.frames[:: -(-len(likelihood.frames) // MOST_FRAMES)]
    world = likelihood.world
    few = Likelihood(likelihood.scan, likelihood.placement, held_out_fraction=0.0, frames=some, world=world)
    said = world.gather(torch.cat([gradients[:, 0] for gradients in few.probe_gradients(at)]), len(some))
    rows = torch.view_as_real(said - said.mean(dim=0)).flatten(1)
    _, vectors = torch.linalg.eigh(rows @ rows.T)
    modes = torch.linalg.qr(rows.T @ vectors[:, -n_variations:].flip(1)).Q
    return _as_modes(modes, at)


def settled(at: Estimate, frames: Int64[Tensor, " frame"], found: frozenset[str]) -> Estimate:
    """Return the same model with those parts of it that were ``found`` in its normal form.

    The mean flux is one, the probe taking the factor. Mean weights of the variations are zero, the probe taking
    them, and variations are orthogonal and as strong as the main mode of the probe, the most important first.
    """
    if at.gain is not None and "gain" in found:
        factor = at.gain[frames].square().mean().sqrt()
        variations = None if at.variations is None else at.variations * factor
        at = replace(at, gain=at.gain / factor, probe=at.probe * factor, variations=variations)
    if at.variations is not None and "variations" in found:
        assert at.weights is not None
        mean = at.weights[frames].mean(dim=0)
        change = (mean[:, None, None] * at.variations).sum(dim=0)
        at = replace(at, probe=torch.cat([at.probe[:1] + change, at.probe[1:]]))
        orthogonal, triangle = torch.linalg.qr(torch.view_as_real(at.variations).flatten(1).T)
        weights, strengths, turn = torch.linalg.svd((at.weights - mean) @ triangle.T, full_matrices=False)
        scale = torch.linalg.vector_norm(at.probe[0])
        at = replace(at, variations=_as_modes(orthogonal @ turn.T, at), weights=weights * strengths / scale)
    return at


def _as_modes(columns: Float32[Tensor, "pixel variation"], at: Estimate) -> Complex64[Tensor, "variation y x"]:
    """Return orthonormal columns of real and imaginary parts as modes with the power of the probe's main one."""
    modes = columns.T.reshape(-1, *at.probe.shape[1:], 2).contiguous()
    return torch.view_as_complex(modes) * torch.linalg.vector_norm(at.probe[0])
