"""What a scan says of an estimate, frame by frame and pixel by pixel."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from ptycho.metrics.likelihood import deviance_moments
from ptycho.metrics.self_check import N_WORST, WorstFrames
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.objectives.poisson import FLOOR, poisson_deviance

# Expected counts between which moments of the deviance are tabulated; beyond the last they no longer change.
FAINT, BRIGHT, N_TABLE = FLOOR, 1e3, 200


@dataclass(frozen=True)
class Evidence:
    """Mean deviance of a trusted pixel of every frame, and what noise alone gives; z-scores; information, counts."""

    deviance: Float64[Tensor, " frame"]
    noise: Float64[Tensor, " frame"]
    z: Float64[Tensor, " frame"]
    information: Float32[Tensor, "height width"]


@torch.no_grad()
def evidence(likelihood: Likelihood, at: Estimate) -> Evidence:
    """Return how well every frame fits an estimate, and how much the scan knows of every object pixel.

    The z-score of a frame is (D - E[D]) / sqrt(Var[D]), its deviance D being the sum over the trusted pixels and the
    moments those of Poisson counts around the expected ones.

    The information on the pixel O(r) = a + i b is a quarter of the trace of its block of the Fisher matrix of Poisson
    counts lambda(q) = sum_m |psi_m(q)|^2, psi_m = F[P_m O]. With d lambda / da = 2 Re sum_m psi_m^* F_qr P_m(r) and
    |F_qr|^2 = 1 / N^2 the trace of sum_q (d lambda)^2 / lambda is 4 sum_mk C_mk P_m P_k^* with
    C_mk = mean_q psi_m^* psi_k / lambda over the trusted pixels, summed over the frames. For one mode and a whole
    detector it is 4 sum_j |P_j|^2, so that E|dO|^2 >= 1 / sum_j |P_j|^2 for a pixel whose neighbours and probe are
    known: the diagonal of the Fisher operator 4 A^H[u Re(u^* A d)], u = psi / |psi|, and the rule of
    `ptycho.metrics.dose`.
    """
    mask, size = likelihood.scan.mask, likelihood.scan.size
    table = _Moments(at.object_.device)
    found = torch.empty((3, len(likelihood.frames)), dtype=torch.float64, device=at.object_.device)
    information = torch.zeros(likelihood.object_shape, device=at.object_.device)
    for chunk, probes, _, field in likelihood.fields(at):
        expected = likelihood.expected(at, field)
        deviance = (poisson_deviance(expected, likelihood.scan.counts(chunk.frames, chunk.then)) * mask).sum(
            (1, 2), dtype=torch.float64
        )
        mean, variance = ((moment * mask).sum((1, 2), dtype=torch.float64) for moment in table(expected))
        found[0, chunk.rows] = deviance / mask.sum()
        found[1, chunk.rows] = mean / mask.sum()
        found[2, chunk.rows] = (deviance - mean) / variance.sqrt()
        share = field * (mask / expected.clamp_min(FLOOR))[:, None]
        coherence = torch.einsum("fmyx,fkyx->fmk", field.conj(), share) / size**2
        known = torch.einsum("fmk,fmyx,fkyx->fyx", coherence, probes.fields, probes.fields.conj())
        chunk.look.add_to(information, known.real)
    world, n_frames = likelihood.world, len(likelihood.frames)
    deviances, noise, scores = (world.gather(each[world.share(n_frames)], n_frames) for each in found)
    return Evidence(deviances, noise, scores, world.sum(information))


class _Moments:
    """Mean and variance of the deviance of a pixel by its expected counts, from a table even in their logarithm."""

    def __init__(self, device: torch.device) -> None:
        counts = np.geomspace(FAINT, BRIGHT, N_TABLE)
        self._table = torch.as_tensor(np.stack(deviance_moments(counts)), dtype=torch.float32, device=device)
        self._step = math.log(BRIGHT / FAINT) / (N_TABLE - 1)

    def __call__(self, expected: Float32[Tensor, "frame y x"]) -> tuple[Tensor, Tensor]:
        place = (expected.clamp(FAINT, BRIGHT) / FAINT).log() / self._step
        below = place.long().clamp_max(N_TABLE - 2)
        part = place - below
        mean, variance = (row[below] + part * (row[below + 1] - row[below]) for row in self._table)
        return mean, variance


@torch.no_grad()
def worst_frames(likelihood: Likelihood, at: Estimate, z: Float64[Tensor, " frame"]) -> WorstFrames:
    """Return the frames with the largest z-scores, as measured and as expected."""
    worst: Int64[Tensor, " frame"] = z.argsort(descending=True)[:N_WORST]
    world, scan = likelihood.world, likelihood.scan
    few = Likelihood(scan, likelihood.placement, held_out_fraction=0.0, frames=worst, world=world)
    own = [few.expected(at, field) for *_, field in few.fields(at)]
    expected = world.gather(torch.cat([scan.counts(worst[:0]), *own]), len(worst))
    return WorstFrames(
        worst.cpu().numpy(),
        few.scan.counts(worst).cpu().numpy(),
        (expected * scan.mask).cpu().numpy(),
    )
