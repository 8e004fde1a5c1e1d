"""What another package's iterations make of a scan: pty-chi's LSQML, rPIE and autodiff.

pty-chi (extra "baseline") imports torchvision for one blur that nobody asks it for here, and torchvision of another
build than torch's breaks its import. `import_ptychi` therefore puts a module of that name, which has that blur and
refuses to do it, in the place of torchvision, in this process only.
"""

import sys
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
    options, reconstructor
        Names in pty-chi's api.
    batch_size
        Frames in an update, at most.
    n_batches
        Updates in an epoch, at least: where many frames of one update overlap, engines diverge.
    object_step, probe_step
        Step sizes; null for the engine's own.
    choices
        Further fields of the options, by their path.
    """

    options: str
    batch_size: int
    n_batches: int = 8
    object_step: float | None = None
    probe_step: float | None = None
    choices: tuple[tuple[str, Any], ...] = ()


ENGINES: dict[Engine, Settings] = {
    "LSQML": Settings("LSQMLOptions", 64),
    "rPIE": Settings("RPIEOptions", 16, n_batches=32),
    "autodiff": Settings(
        "AutodiffPtychographyOptions",
        64,
        object_step=1e-2,
        probe_step=1e-2,
        choices=(
            ("object_options.optimizer", "ADAM"),
            ("probe_options.optimizer", "ADAM"),
        ),
    ),
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


def epochs_of(
    engine: Engine,
    acquisition: Acquisition,
    stops: tuple[int, ...],
    *,
    device: torch.device,
    refine_probe: bool = False,
    seed: int = 0,
) -> Iterator[Snapshot]:
    """Yield what an engine makes of a scan from a flat object and the scan's probe, after each number of epochs.

    The clock runs while the engine does. Its far field is not normalised, so its probe is ours divided by N.
    """
    api = import_ptychi()
    from ptychi.api.task import PtychographyTask

    settings = ENGINES[engine]
    placement, origin = place_on_canvas(torch.as_tensor(acquisition.positions, device=device), acquisition.size)
    corner = origin.cpu().numpy().astype(np.float64)
    options = getattr(api, settings.options)()
    options.reconstructor_options.batch_size = min(
        settings.batch_size, max(1, acquisition.n_positions // settings.n_batches)
    )
    options.reconstructor_options.num_epochs = max(stops)
    options.reconstructor_options.default_device = api.Devices.GPU if device.type == "cuda" else api.Devices.CPU
    options.reconstructor_options.random_seed = seed
    options.data_options.save_data_on_device = device.type == "cuda"
    options.object_options.pixel_size_m = 1.0
    options.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = [MARGIN - 0.5] * 2  # a patch's centre lies between pixels
    options.object_options.remove_object_probe_ambiguity.enabled = refine_probe
    options.probe_options.optimizable = refine_probe
    for name, step in (("object_options", settings.object_step), ("probe_options", settings.probe_step)):
        if step is not None:
            getattr(options, name).step_size = step
    for path, value in settings.choices:
        part, field = path.split(".")
        setattr(getattr(options, part), field, getattr(api.Optimizers, value))
    if engine == "LSQML":
        options.reconstructor_options.rescale_probe_intensity_in_first_epoch = refine_probe
    y, x = (acquisition.positions - corner).T.astype(np.float32)
    arrays = {
        "diffraction_data": acquisition.counts(),
        "object_data": np.ones((1, *(n + 2 * MARGIN for n in placement.object_shape)), dtype=np.complex64),
        "probe_data": acquisition.probe[None] / acquisition.size,
        "probe_position_x_px": x,
        "probe_position_y_px": y,
        "valid_pixel_mask": acquisition.mask,
    }
    light = _light(acquisition, device)
    cpu_start, start = time.process_time(), time.perf_counter()
    seconds = cpu_seconds = 0.0
    done = 0
    with torch.device("cpu"), PtychographyTask(options, **arrays) as task:
        for stop in stops:
            task.run(stop - done)
            done = stop
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds += time.perf_counter() - start
            cpu_seconds += time.process_time() - cpu_start
            found = Reconstruction(
                object_=np.asarray(task.get_data_to_cpu("object", as_numpy=True))[0, MARGIN:-MARGIN, MARGIN:-MARGIN],
                coverage=light,
                origin=corner,
                probe=np.asarray(task.get_data_to_cpu("probe", as_numpy=True))[0] * acquisition.size,
                positions=acquisition.positions,
            )
            yield Snapshot(stop, found, seconds, cpu_seconds)
            cpu_start, start = time.process_time(), time.perf_counter()


def r_factor(acquisition: Acquisition, found: Reconstruction, *, device: torch.device) -> float:
    """Return sum |sqrt(I_model) - sqrt(I)| / sum sqrt(I) over all frames, as our own results state it."""
    likelihood = _likelihood(acquisition, device)
    return likelihood(
        Estimate(torch.as_tensor(found.object_, device=device), torch.as_tensor(found.probe, device=device))
    ).r_factor


def _light(acquisition: Acquisition, device: torch.device) -> np.ndarray:
    likelihood = _likelihood(acquisition, device)
    probe = torch.as_tensor(acquisition.probe, device=device)
    flat = torch.ones(likelihood.object_shape, dtype=torch.complex64, device=device)
    return likelihood.light(Estimate(flat, probe)).cpu().numpy()


def _likelihood(acquisition: Acquisition, device: torch.device) -> Likelihood:
    scan = Scan.of(replace(acquisition, object_=None), device)
    placement, _ = place_on_canvas(scan.positions, acquisition.size)
    return Likelihood(scan, placement, held_out_fraction=0.0)
