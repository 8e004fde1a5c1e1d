"""What another package's iterations make of a scan: pty-chi's LSQML, rPIE and autodiff.

pty-chi (extra "baseline") imports torchvision for one blur that nobody asks it for here, and torchvision of another
build than torch's breaks its import. `import_ptychi` therefore puts a module of that name, which has that blur and
refuses to do it, in the place of torchvision, in this process only.
"""

import sys
import time
import types
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.physics.forward import place_on_canvas

Engine = Literal["LSQML", "rPIE", "autodiff"]
MARGIN = 2  # px around the canvas, which its interpolation reaches


@dataclass(frozen=True)
class Settings:
    """Choices for one engine; batches and steps are the best of those tried on scans of the benchmark.

    Attributes
    ----------
    options
        Their name in pty-chi's api.
    batch_size
        Frames in an update, at most.
    n_batches
        Updates in an epoch, at least: where many frames of one update overlap, rPIE diverges.
    adam_step
        Step of Adam on object and probe; null for the engine's own steps.
    """

    options: str
    batch_size: int
    n_batches: int = 8
    adam_step: float | None = None


ENGINES: dict[Engine, Settings] = {
    "LSQML": Settings("LSQMLOptions", 64),
    "rPIE": Settings("RPIEOptions", 16, n_batches=32),
    "autodiff": Settings("AutodiffPtychographyOptions", 64, adam_step=1e-2),
}


def is_installed() -> bool:
    """Say whether pty-chi can be imported."""
    try:
        import_ptychi()
    except ModuleNotFoundError:
        return False
    return True


def import_ptychi() -> Any:
    """Return pty-chi's api and task, without torchvision."""

    class GaussianBlur:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError("torchvision is not used in this benchmark; leave pty-chi's blur out")

    if "torchvision" not in sys.modules:
        transforms = types.ModuleType("torchvision.transforms")
        transforms.GaussianBlur = GaussianBlur
        package = types.ModuleType("torchvision")
        package.transforms = transforms
        sys.modules |= {"torchvision": package, "torchvision.transforms": transforms}
    import ptychi.api
    import ptychi.api.task

    return ptychi.api


@dataclass(frozen=True)
class Snapshot:
    """What an engine had after so many epochs, and the seconds that its epochs took until then."""

    epochs: int
    reconstruction: Reconstruction
    seconds: float
    cpu_seconds: float


def after_epochs(
    engine: Engine,
    acquisition: Acquisition,
    stops: Sequence[int],
    *,
    device: torch.device,
    refine_probe: bool = False,
    seed: int = 0,
) -> list[Snapshot]:
    """Return what an engine makes of a scan after each number of epochs.

    It starts from the object that our iterations start from, flat with the flux of the scan, and the scan's probe. The
    clock runs while the engine does.
    """
    api = import_ptychi()
    from ptychi.api.task import PtychographyTask

    likelihood = _likelihood(acquisition, device)
    corner = place_on_canvas(likelihood.scan.positions, acquisition.size)[1].cpu().numpy().astype(np.float64)
    at = Estimate(
        torch.ones(likelihood.object_shape, dtype=torch.complex64, device=device),
        torch.as_tensor(acquisition.probe, device=device),
    )
    coverage = likelihood.light(at).cpu().numpy()
    start = np.full([n + 2 * MARGIN for n in likelihood.object_shape], likelihood.flux(at) ** 0.5, dtype=np.complex64)
    y, x = (acquisition.positions - corner).T.astype(np.float32)
    snapshots: list[Snapshot] = []
    seconds = cpu_seconds = 0.0
    try:
        task = PtychographyTask(
            _options(api, engine, acquisition, max(stops), device, refine_probe, seed),
            diffraction_data=acquisition.counts(),
            object_data=start[None],
            probe_data=acquisition.probe[None] / acquisition.size,  # its Fourier transform is not normalised
            probe_position_x_px=x,
            probe_position_y_px=y,
            valid_pixel_mask=acquisition.mask,
        )
        for before, stop in pairwise((0, *stops)):
            began, cpu_began = time.perf_counter(), time.process_time()
            task.run(stop - before)
            object_, probe = (np.asarray(task.get_data_to_cpu(name, as_numpy=True))[0] for name in ("object", "probe"))
            seconds += time.perf_counter() - began
            cpu_seconds += time.process_time() - cpu_began
            found = Reconstruction(
                object_=object_[MARGIN:-MARGIN, MARGIN:-MARGIN],
                coverage=coverage,
                origin=corner,
                probe=probe * acquisition.size,
                positions=acquisition.positions,
            )
            snapshots.append(Snapshot(stop, found, seconds, cpu_seconds))
    finally:
        torch.set_default_device(None)  # which pty-chi has changed
    return snapshots


def _options(
    api: Any,
    engine: Engine,
    acquisition: Acquisition,
    epochs: int,
    device: torch.device,
    refine_probe: bool,
    seed: int,
) -> Any:
    settings = ENGINES[engine]
    options = getattr(api, settings.options)()
    iterations = options.reconstructor_options
    iterations.batch_size = min(settings.batch_size, max(1, acquisition.n_positions // settings.n_batches))
    iterations.num_epochs = epochs
    iterations.default_device = api.Devices.GPU if device.type == "cuda" else api.Devices.CPU
    iterations.random_seed = seed
    options.data_options.save_data_on_device = device.type == "cuda"
    options.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = [MARGIN - 0.5] * 2  # a patch's centre lies between pixels
    options.object_options.remove_object_probe_ambiguity.enabled = refine_probe
    options.probe_options.optimizable = refine_probe
    if engine == "LSQML":
        iterations.rescale_probe_intensity_in_first_epoch = refine_probe
    if settings.adam_step is not None:
        for part in (options.object_options, options.probe_options):
            part.optimizer, part.step_size = api.Optimizers.ADAM, settings.adam_step
    return options


def r_factor(acquisition: Acquisition, found: Reconstruction, *, device: torch.device) -> float:
    """Return sum |sqrt(I_model) - sqrt(I)| / sum sqrt(I) over all frames, as our own results state it."""
    likelihood = _likelihood(acquisition, device)
    return likelihood(
        Estimate(torch.as_tensor(found.object_, device=device), torch.as_tensor(found.probe, device=device))
    ).r_factor


def _likelihood(acquisition: Acquisition, device: torch.device) -> Likelihood:
    scan = Scan.of(replace(acquisition, object_=None), device)
    placement, _ = place_on_canvas(scan.positions, acquisition.size)
    return Likelihood(scan, placement, held_out_fraction=0.0)
