"""From patterns to the stitched object, in batches."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Complex64, Float32, Float64, Int64
from torch import Tensor

from ptycho.base.watching import NOBODY, Stage, Watcher
from ptycho_torch.data.pictures import show
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import Placement, divide, merge, probe_weight, stack_regions, weighted
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.pinn.unrolled import Frames, UnrolledPINN
from ptycho_torch.processes.world import ALONE, World


@torch.no_grad()
def stitch(
    pinn: PtychoPINN,
    scan: Scan,
    placement: Placement,
    groups: Int64[Tensor, "group member"],
    *,
    batch_size: int,
    flux: float = 1.0,
) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
    """Predict a patch for every member of every group and merge them all on one canvas, weighted by the light.

    Parameters are those of `summed_patches`.

    Returns
    -------
    object, coverage
        The canvas and the light on it.
    """
    return divide(*summed_patches(pinn, scan, placement, groups, batch_size=batch_size, flux=flux))


@torch.no_grad()
def summed_patches(
    pinn: PtychoPINN,
    scan: Scan,
    placement: Placement,
    groups: Int64[Tensor, "group member"],
    *,
    batch_size: int,
    flux: float = 1.0,
    watcher: Watcher = NOBODY,
    world: World = ALONE,
) -> Complex64[Tensor, "2 height width"]:
    """Predict a patch for every member of every group; sum lit patches, and the light, on one canvas.

    Parameters
    ----------
    pinn, scan, placement
        The trained network, the measurement, and where each of its patches lies.
    groups
        Patterns that the network sees together; (pattern, 1) for a network that sees each alone.
    batch_size
        Groups in one pass of the network.
    flux
        Counts of this scan over counts of the training scan.
    watcher
        Who is told how it goes.
    world
        The processes that share the groups; each predicts its part, and the sums are over all.

    Returns
    -------
    sums
        Numerator and denominator. Those of parts of a scan add up to those of the whole, unless the network sees
        neighbours. A pattern that is in several groups counts once, by the mean of its patches: the light is what fell.
    """
    if isinstance(pinn, UnrolledPINN):
        members, how = groups[:, 0], {"batch_size": batch_size, "flux": flux, "watcher": watcher, "world": world}
        return _sums_of_passes(pinn, scan, placement, members, **how)
    light = probe_weight(pinn.probe)
    times_seen = torch.bincount(groups.reshape(-1), minlength=len(scan))[:, None, None]
    sums = torch.zeros((2, *placement.object_shape), dtype=torch.complex64, device=light.device)
    groups = groups[world.share(len(groups))]
    stage = Stage(watcher, "prediction", len(groups), measure="", unit="patterns")
    done = 0
    for members, then in _with_next([some.reshape(-1) for some in groups.split(batch_size)]):
        patches = pinn.predict(scan.counts(members, then) / flux)
        part = placement.part(members)
        look = part.look()
        weight = light / times_seen[members] if pinn.channels > 1 else light
        for canvas, moved in zip(sums, weighted(patches, weight, part.place()), strict=True):
            look.add_to(canvas, moved)
        done += len(members) // groups.shape[1]
        stage.advance(done, len(members))
        if watcher.wants_picture:
            show(watcher, *divide(*sums))
    return world.sum(sums)


def _sums_of_passes(
    pinn: UnrolledPINN,
    scan: Scan,
    placement: Placement,
    members: Int64[Tensor, " pattern"],
    *,
    batch_size: int,
    flux: float,
    watcher: Watcher,
    world: World,
) -> Complex64[Tensor, "2 height width"]:
    """Return the sums of lit patches, and of the light, after the last pass over a canvas that all frames share."""
    members = members[world.share(len(members))]

    def total(says: Callable[[Frames], Tensor], dtype: torch.dtype = torch.complex64) -> Tensor:
        summed = torch.zeros(placement.object_shape, dtype=dtype, device=members.device)
        for some, then in _with_next(members.split(batch_size)):
            frames = Frames.of(scan.counts(some, then) / flux, placement.part(some), pinn.probe, scan.mask)
            frames.look.add_to(summed, says(frames))
        return world.sum(summed)

    light = total(lambda frames: frames.light, torch.float32)
    canvas = lit = torch.ones_like(light, dtype=torch.complex64)
    stage = Stage(watcher, "prediction", pinn.passes * len(members), measure="", unit="patterns")
    for done in range(1, pinn.passes + 1):
        residual = total(functools.partial(Frames.residual, canvas=canvas))
        lit = total(functools.partial(pinn.lit_patches, canvas, residual, light))
        canvas, coverage = divide(lit, light.to(torch.complex64))
        stage.advance(done * len(members), len(members))
        if watcher.wants_picture:
            show(watcher, canvas, coverage)
    return torch.stack([lit, light.to(torch.complex64)])


def _with_next(parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield every part and the one after it, None after the last."""
    return itertools.zip_longest(parts, parts[1:])


@torch.no_grad()
def merge_groups(
    pinn: PtychoPINN,
    amplitude: Float32[Tensor, "group member y x"],
    relative: Float64[Tensor, "group member 2"],
    *,
    batch_size: int,
) -> tuple[Complex64[Tensor, "group y x"], Complex64[Tensor, "group member y x"]]:
    """Predict the patches of groups and merge those of each on a canvas of its own, cut about the group's centre.

    Parameters
    ----------
    pinn
        The trained network.
    amplitude
        Normalised amplitude, mean energy N^2 / 4.
    relative
        Member minus the centre of its group, (y, x) px.
    batch_size
        Groups in one pass of the network.

    Returns
    -------
    objects, patches
        The merged object of every group, and the patch of every pattern, on the CPU.
    """
    device, size = pinn.probe.device, amplitude.shape[-1]
    objects, patches = [], []
    for images, places in zip(amplitude.split(batch_size), relative.split(batch_size), strict=True):
        predicted = pinn.forward_predict(images.to(device))
        placement = stack_regions(places.to(device), size)
        canvas, _ = merge(predicted.flatten(0, 1), probe_weight(pinn.probe), placement.look(), placement.place())
        corners = places.floor().long() - size // 2
        # The centre of a group, position 0, begins at -N // 2; its canvas begins at the first corner.
        rows, columns = (-(size // 2) - corners.amin(dim=1)).T.tolist()
        regions = canvas.view(len(images), -1, canvas.shape[1])
        cut = [
            region[row : row + size, column : column + size]
            for region, row, column in zip(regions, rows, columns, strict=True)
        ]
        objects.append(torch.stack(cut).cpu())
        patches.append(predicted.cpu())
    return torch.cat(objects), torch.cat(patches)
