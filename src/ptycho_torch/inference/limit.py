"""The shot-noise limit: how well the photons of a scan let its object be known, whatever the method."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reference import Reference
from ptycho.metrics.limit import Limit, limit_of
from ptycho.metrics.region import typical_light
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.frame_probes import FrameProbes
from ptycho_torch.inference.likelihood import Chunk, Likelihood
from ptycho_torch.inference.truth import true_estimate
from ptycho_torch.objectives.poisson import FLOOR

# Pixels with less than this share of the typical light are taken for known: nothing that is scored hangs on them.
FAINT = 1e-2
# A solution counts once the preconditioned residual has fallen to this share of its first value.
RESIDUAL = 1e-3
MOST_STEPS = 300

Fields = Complex64[Tensor, "sample height width"]


@dataclass(frozen=True)
class Fisher:
    """Fisher information of the object, the probe being known: a linear operator that is real-symmetric.

    With the fields psi_m = A_m O on the detector, A_m = F P_m gather, and the expected counts lambda,

        F d = sum_m A_m^H [ 4 psi_m Re(sum_k psi_k^* A_k d) / lambda ]

    over the trusted pixels, so that Re <d, F d> = sum (d lambda)^2 / lambda. For one mode without background it is
    4 A^H [u Re(u^* A d)], u = psi / |psi|. Its inverse bounds the covariance of every unbiased estimate (Cramer-Rao;
    "Photon-limited bounds for phase retrieval", Opt. Express 29, 16736, 2021).

    Attributes
    ----------
    likelihood, at
        The scan, and the object and all else at which the information is asked for.
    extra
        Counts added to lambda under the fraction bar. With 0 it is the information; with 1 a single count where none
        was expected decides nothing.
    """

    likelihood: Likelihood
    at: Estimate
    extra: float = 0.0

    @cached_property
    def light(self) -> Float32[Tensor, "height width"]:
        """Return sum_j |P_j|^2, half the mean eigenvalue of a pixel's block on a whole detector."""
        return self.likelihood.light(self.at)

    @cached_property
    def support(self) -> Tensor:
        """Return the pixels that are not taken for known."""
        return self.light > FAINT * self._typical_light

    @cached_property
    def stiffness(self) -> Float32[Tensor, "height width"]:
        """Return twice the light, nowhere zero: eigenvalues of F over it lie between 0 and 2."""
        return 2 * self.light.clamp_min(FAINT * self._typical_light)

    @cached_property
    def _typical_light(self) -> float:
        return typical_light(self.light.cpu().numpy())

    def free(self, fields: Fields) -> Fields:
        """Return fields on the support, less what they have of the global phase, which nothing can know."""
        turn = 1j * self.at.object_ * self.support
        inside = fields * self.support
        return inside - turn * (inner(turn[None], inside) / inner(turn[None], turn[None]))[:, None, None]

    @torch.no_grad()
    def __call__(self, directions: Fields) -> Fields:
        """Return F d for several directions at once; the fields of the frames are made once for all."""
        found = torch.zeros_like(directions)
        far_field = self.likelihood.far_field
        for chunk, probes, _, field in self.likelihood.fields(self.at):
            lit = 2 * field * self._weight(chunk.rows, field).sqrt()[:, None]
            for direction, sums in zip(directions, found, strict=True):
                change = far_field(probes.fields * chunk.look(direction)[:, None])
                slope = (lit.conj() * change).real.sum(dim=1, keepdim=True)
                self._add_back(sums, chunk, probes, slope * lit)
        return self.free(self.likelihood.world.sum(found))

    @torch.no_grad()
    def scores(self, n: int, generator: torch.Generator) -> Fields:
        """Draw gradients of the log likelihood that shot noise alone gives at the truth: covariance F.

        They are A^H [2 psi w / sqrt(lambda)] with standard normal numbers w, one a detector pixel. Processes that share
        the frames draw for their own, each with another generator.
        """
        drawn = torch.zeros((n, *self.likelihood.object_shape), dtype=torch.complex64, device=self.light.device)
        for chunk, probes, _, field in self.likelihood.fields(self.at):
            lit = 2 * field * self._weight(chunk.rows, field).sqrt()[:, None]
            shape = (len(field), 1, *field.shape[-2:])
            for sums in drawn:
                noise = torch.randn(shape, generator=generator, device=field.device)
                self._add_back(sums, chunk, probes, noise * lit)
        return self.free(self.likelihood.world.sum(drawn))

    @torch.no_grad()
    def residuals(self, generator: torch.Generator) -> tuple[Fields, Fields]:
        """Return A^H [2 psi (lambda - n) / lambda] of the counts n, and the same of what noise n may have in it.

        To first order the former is F times the error of an object that these counts had no part in, plus noise; the
        latter, drawn with the variance n, has the noise's covariance at any number of counts.
        """
        found = torch.zeros((2, *self.likelihood.object_shape), dtype=torch.complex64, device=self.light.device)
        for chunk, probes, _, field in self.likelihood.fields(self.at):
            counts = self.likelihood.scan.counts(chunk.frames, chunk.then)
            noise = counts.sqrt() * torch.randn(counts.shape, generator=generator, device=counts.device)
            weight = self._weight(chunk.rows, field)
            for sums, change in zip(found, (self.likelihood.expected(self.at, field) - counts, noise), strict=True):
                self._add_back(sums, chunk, probes, 2 * (weight * change)[:, None] * field)
        residual, noise = self.free(self.likelihood.world.sum(found)).split(1)
        return residual, noise

    def solve(self, right: Fields, *, residual: float = RESIDUAL, most: int = MOST_STEPS) -> Fields:
        """Return F^+ b for several right sides: conjugate gradients, preconditioned by the light.

        Parameters
        ----------
        right
            Right sides, such as `scores` gives.
        residual
            Share of the first preconditioned residual at which a solution counts.
        most
            Steps at most. Fewer leave out what the scan hardly knows: the slowest to converge is what scatters most.
        """
        stiffness = self.stiffness
        found, rest = torch.zeros_like(right), right
        ready = rest / stiffness
        direction, squares = ready, inner(rest, ready)
        enough = residual**2 * squares
        for _ in range(most):
            if bool((squares <= enough).all()):
                break
            image = self(direction)
            # A solution that counts is not touched again: its residual would be rounding.
            length = torch.where(squares > enough, squares / inner(direction, image), 0)[:, None, None]
            found, rest = found + length * direction, rest - length * image
            ready = rest / stiffness
            before, squares = squares, inner(rest, ready)
            direction = ready + (squares / before)[:, None, None] * direction
        return found

    def _weight(self, rows: slice, field: Tensor) -> Float32[Tensor, "frame y x"]:
        expected = self.likelihood.expected(self.at, field) + self.extra
        return self.likelihood.pixels(rows).used / expected.clamp_min(FLOOR)

    def _add_back(self, sums: Tensor, chunk: Chunk, probes: FrameProbes, fields: Tensor) -> None:
        """Add sum_m A_m^H of fields on the detector to a canvas."""
        exits = self.likelihood.far_field.adjoint(fields)
        chunk.look.add_to(sums, (probes.fields.conj() * exits).sum(dim=1))


def shot_noise_limit(
    acquisition: Acquisition,
    *,
    device: torch.device,
    n_solves: int = 4,
    background: float = 0.0,
    seed: int = 0,
) -> Limit:
    """Return what the photons of a simulated scan allow at its true object and probe, in terms of the metrics.

    Errors F^+ b are drawn, b being scores of shot noise, which have the covariance F^+ of the best unbiased estimate;
    they are scored as a reconstruction is. Pixels below 1 % of the typical light are taken for known. An estimate
    that is biased, as every one is at few photons, may do better.

    Parameters
    ----------
    acquisition
        A simulated scan: its object is the truth and its probe the true one, in sqrt(counts).
    n_solves
        Errors drawn; the bounds scatter by some tenths of a dB with four, and by less in large scans.
    background
        Counts a detector pixel besides those of the object.
    seed
        Of the draws.

    Raises
    ------
    DataError
        The scan carries no truth.
    """
    scan, placement, origin, truth = true_estimate(acquisition, device)
    at = replace(truth, haze=torch.tensor(background**0.5, device=device))
    fisher = Fisher(Likelihood(scan, placement, held_out_fraction=0.0), at)
    generator = torch.Generator(device=device).manual_seed(seed)
    errors = fisher.solve(fisher.scores(n_solves, generator))
    canvas = Reference(at.object_.cpu().numpy(), origin.cpu().numpy().astype(np.float64), fisher.light.cpu().numpy())
    return limit_of(errors.cpu().numpy(), canvas)


def inner(one: Tensor, other: Tensor) -> Float32[Tensor, " sample"]:
    """Return the real inner products Re <one, other> of fields."""
    product = torch.view_as_real(one) * torch.view_as_real(other)
    return product.sum(dim=(1, 2, 3), dtype=torch.float64).to(torch.float32)
