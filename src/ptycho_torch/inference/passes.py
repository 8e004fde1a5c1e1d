"""Passes over a scan in a few batches: the fast way from afar to where likelihood iterations finish the work."""

from dataclasses import replace

import torch
from jaxtyping import Complex64
from torch import Tensor

from ptycho.base.watching import NOBODY, Stage, Watcher
from ptycho.config.refinement import Refinement
from ptycho.metrics.region import typical_light
from ptycho.simulation.probes import modes
from ptycho_torch.inference.coarse import coarser, coarser_likelihood, corrected
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.objectives.poisson import FLOOR
from ptycho_torch.physics.modulus import squared_modulus

# Batches in a pass. Each holds about every sixteenth frame and so reaches the whole field.
N_BATCHES = 16
# Share of the brightest light on the object, and of the largest transparency under the probe, that damps a step.
DAMPING = 0.1
# Share of its step so far that an estimate goes on with, and length of a step in the first pass.
MOMENTUM = 0.8
LENGTH = 0.5
# Passes after which steps are half as long: what one batch says against another averages out.
SLOWING = 5.0
# Share of the typical light below which an object is no start: it was divided by next to nothing there.
DIM = 1e-2
# Counts of a mode of the probe over those of the mode before it, where the scan knows fewer than are asked for.
POWER = 0.2


def approach(start: Estimate, likelihood: Likelihood, refinement: Refinement, *, watcher: Watcher = NOBODY) -> Estimate:
    """Return an estimate that the passes of a refinement bring near the solution, on the coarse scan first.

    Parameters
    ----------
    start
        Object, and probe in sqrt(counts), with all else that is assumed of the scan.
    likelihood
        The measurement and where its patches lie on the canvas of the object; pixels held out take no part.
    refinement
        How many passes and probe modes; the probe is changed where its span begins at 0.
    watcher
        Who is told how it goes.
    """
    light = likelihood.light(start)
    lit = light >= DIM * typical_light(light.cpu().numpy())
    object_ = torch.where(lit, start.object_, start.object_[lit].abs().mean())
    at = replace(start, object_=object_, probe=with_modes(start.probe, refinement.n_modes))
    probe_free = refinement.probe is not None and 0 in refinement.probe
    if refinement.coarse_passes:
        begun = coarser(at)
        on_coarse = coarser_likelihood(likelihood)
        done = passed(begun, on_coarse, refinement.coarse_passes, probe_free=probe_free, watcher=watcher)
        at = corrected(at, done.plus(-1, begun))
    return passed(at, likelihood, refinement.passes, probe_free=probe_free, watcher=watcher)


def passed(
    start: Estimate,
    likelihood: Likelihood,
    n_passes: int,
    *,
    probe_free: bool,
    seed: int = 0,
    watcher: Watcher = NOBODY,
) -> Estimate:
    """Return an estimate after some passes over the frames, each in random batches.

    After every batch, with its fields psi_jm on the detector brought to the amplitudes that were measured,
    d psi = A^H[(sqrt(n / I) - 1) A psi], the object grows by sum P* d psi / (sum |P|^2 + share of its maximum) and
    the probe by sum O* d psi / (sum |O|^2 + share of its maximum): ePIE's step, preconditioned and in batches
    (DOI 10.1016/j.ultramic.2009.05.012, 10.1364/OPTICA.4.000736), with Nesterov's momentum from batch to batch, which
    brings coarse shape forward. Steps grow shorter from pass to pass.

    Parameters
    ----------
    n_passes
        How often every frame is seen.
    probe_free
        Whether the probe changes.
    seed
        Of the draws of the batches.
    """
    at, velocity = start, start.times(0.0)
    n_frames, device = len(likelihood.frames), likelihood.frames.device
    generator = torch.Generator().manual_seed(seed)
    name = f"passes at {likelihood.scan.size} px"
    stage = Stage(watcher, name, n_passes, measure="R-factor", unit="passes")
    for number in range(n_passes):
        length = LENGTH / (1 + number / SLOWING)
        sums = torch.zeros(2, device=device)
        order = torch.randperm(n_frames, generator=generator).to(device)
        for rows in order.tensor_split(min(N_BATCHES, n_frames)):
            moved = _step(likelihood.part(rows), at.plus(MOMENTUM, velocity), probe_free, sums, length)
            at, velocity = moved, moved.plus(-1, at)
        difference, total = likelihood.world.sum(sums).tolist()
        stage.advance(number + 1, 1, difference / total)
    return at


def _step(likelihood: Likelihood, at: Estimate, probe_free: bool, sums: Tensor, length: float) -> Estimate:
    """Return an estimate after one batch, and add what this process knows of its R-factor to the sums."""
    rise = at.times(0.0)
    light = torch.zeros(at.object_.shape, device=at.object_.device)
    seen = torch.zeros(at.probe.shape[1:], device=at.probe.device)
    for chunk, probes, patches, field in likelihood.fields(at):
        root = likelihood.scan.counts(chunk.frames, chunk.then).sqrt()
        expected = (likelihood.expected(at, field) * likelihood.scan.mask).sqrt()
        sums += torch.stack([(expected - root).abs().sum(), root.sum()])
        used = likelihood.pixels(chunk.rows).used
        ratio = (root / expected.clamp_min(FLOOR**0.5) - 1) * used
        back = likelihood.far_field.adjoint(ratio[:, None] * field)
        chunk.look.add_to(rise.object_, (probes.fields.conj() * back).sum(dim=1))
        chunk.look.add_to(light, squared_modulus(probes.fields).sum(dim=1))
        if probe_free:
            probes.add_gradient(rise, patches.conj()[:, None] * back, {"probe"})
            seen += squared_modulus(patches).sum(dim=0)
    world = likelihood.world
    for part in (rise.object_, light, *((rise.probe, seen) if probe_free else ())):
        world.sum(part)
    object_ = at.object_ + length * rise.object_ / (light + DAMPING * light.amax())
    probe = at.probe + length * rise.probe / (seen + DAMPING * seen.amax()) if probe_free else at.probe
    return replace(at, object_=object_, probe=probe)


def with_modes(probe: Complex64[Tensor, "mode y x"], n_modes: int) -> Complex64[Tensor, "n_modes y x"]:
    """Return a probe of at least so many modes with the counts of the given one.

    Those it lacks begin as its main mode times y, x, y^2 ... .
    """
    if len(probe) >= n_modes:
        return probe
    more = torch.from_numpy(modes(probe[:1].cpu().numpy(), n_modes, POWER)[len(probe) :]).to(probe.device)
    together = torch.cat([probe, more])
    return together * (torch.linalg.vector_norm(probe) / torch.linalg.vector_norm(together))
