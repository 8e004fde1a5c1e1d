"""``ptycho reconstruct``: turn a scan into an image with a trained network."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import require
from ptycho.acquisition.readers import read
from ptycho.base import logs
from ptycho.base.atomic import write_text
from ptycho.base.errors import ConfigError, DataError, extra_missing
from ptycho.base.launched import ALONE, Launched, launched
from ptycho.base.provenance import provenance
from ptycho.base.watching import NOBODY, Watcher, Watchers
from ptycho.cli.folders import all_together, output_folder
from ptycho.cli.launching import launch, n_processes
from ptycho.cli.parsing import add_live, at_least, verb_parser
from ptycho.cli.refining import add_refinement, refined, refinement_of, told
from ptycho.cli.starting import BUNDLE
from ptycho.config.execution import Deterministic, Precision
from ptycho.config.files import to_dict
from ptycho.config.flags import reader
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.interop.loading import taken
from ptycho.interop.product import write_reconstruction
from ptycho.live.server import live_page
from ptycho.live.terminal import progress_line
from ptycho.report.figures import save_amplitude, save_phase
from ptycho.report.html.report import Report, save_report
from ptycho.report.training import TrainingRecord, training_record

if TYPE_CHECKING:
    from ptycho_torch.inference.reconstruct import Result

logger = logging.getLogger(__name__)

NO_REFINEMENT = Refinement()
PRODUCTS = (
    "reconstruction.npz",
    "self_check.npz",
    "amplitude.png",
    "phase.png",
    "report.html",
    "summary.json",
    "product.h5",
)


def run(argv: Sequence[str]) -> int:
    """Reconstruct a scan and write the object, its pictures and a summary."""
    parser = verb_parser("reconstruct", "Turn a scan into an image with a trained network.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that `ptycho train` wrote, or its wts.h5.zip")
    parser.add_argument("data", type=Path, metavar="DATA", help="scan to reconstruct")
    parser.add_argument("--output_dir", type=Path, required=True, metavar="OUT", help="folder for the results")
    add_refinement(parser)
    parser.add_argument(
        "--batch_size", type=reader("--batch_size", int), default=64, metavar="B", help="patterns in one pass [64]"
    )
    parser.add_argument("--accelerator", default="auto", metavar="KIND", help="auto, cpu, gpu, cuda or mps [auto]")
    parser.add_argument(
        "--devices",
        type=reader("--devices", int | Literal["auto"]),
        default=1,
        metavar="N",
        help="devices that share the frames, or auto for all of them [1]",
    )
    parser.add_argument(
        "--precision",
        type=reader("--precision", Precision),
        default="32-true",
        metavar="P",
        help="arithmetic of the network: 32-true, 16-mixed or bf16-mixed [32-true]",
    )
    parser.add_argument(
        "--deterministic",
        type=reader("--deterministic", Deterministic),
        default=False,
        metavar="YES",
        help="true: the same call gives the same bits; warn: so far as it can [false]",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results in OUT")
    add_live(parser)
    asked = parser.read(argv).arguments
    at_least(asked, batch_size=1, **({} if asked.devices == "auto" else {"devices": 1}))
    refinement = refinement_of(asked)
    _check_order(asked.run, asked.data)
    n = n_processes(asked.devices, asked.accelerator)
    if n > 1:
        return launch("reconstruct", argv, n)
    here = launched(asked.devices)
    if not here.leads:
        logs.configure(level=logging.ERROR)
    title = f"ptycho reconstruct {asked.run} {asked.data} to {asked.output_dir}"
    held = output_folder(asked.output_dir, PRODUCTS, overwrite=asked.overwrite)
    with held if here.leads else nullcontext(asked.output_dir) as folder:
        address, shown = (asked.live, not asked.quiet) if here.leads else (None, False)
        with live_page(address, title) as page, progress_line(shown=shown) as line:
            made = reconstruct_file(
                asked.run,
                asked.data,
                accelerator=asked.accelerator,
                batch_size=asked.batch_size,
                refinement=refinement,
                precision=asked.precision,
                deterministic=asked.deterministic,
                check=True,
                watcher=Watchers(line, page),
                here=here,
                scratch=folder,
            )
        if not here.leads:
            return 0
        trained = training_record(made.network)
        with all_together(folder, PRODUCTS) as staged:
            facts = summary(made, trained, data=str(asked.data), **provenance(["ptycho", "reconstruct", *argv]))
            write_results(staged, made, facts, trained.curves)
            _write_product(staged, made)
    result = made.result
    assert result.check is not None
    logger.info("%s", result.check.verdict)
    logger.info("deviance %.4g a pixel, R-factor %.4g", result.deviance, result.r_factor)
    for said in told(facts):
        logger.info("%s", said)
    written = [name for name in PRODUCTS if (asked.output_dir / name).exists()]
    logger.info("wrote %s to %s", ", ".join(written), asked.output_dir)
    return 0


@dataclass(frozen=True)
class Made:
    """What became of a scan, the scan, the device that did it, the choices of the network and of the iterations.

    ``network`` is where the network lies: a bundle, or the folder of its members.
    """

    result: "Result"
    scan: Acquisition
    device: str
    config: TrainingConfig
    refinement: Refinement
    network: Path


def _check_order(run: Path, data: Path) -> None:
    if _is_network(data) and not _is_network(run):
        raise ConfigError(
            f"{data} is a trained network and {run} is none; expected the network first, the scan after it; swap them"
        )


def _is_network(path: Path) -> bool:
    return (path / BUNDLE).is_file() or (path.suffix == ".zip" and path.is_file())


def reconstruct_file(
    run: Path,
    data: Path,
    *,
    accelerator: str,
    batch_size: int,
    refinement: Refinement = NO_REFINEMENT,
    precision: Precision = "32-true",
    deterministic: Deterministic = False,
    check: bool = False,
    n_positions: int | None = None,
    seed: int | None = None,
    watcher: Watcher = NOBODY,
    here: Launched = ALONE,
    scratch: Path | None = None,
) -> Made:
    """Return what a trained network and likelihood iterations make of a scan.

    Parameters
    ----------
    run, data
        Bundle or the folder that holds it; scan.
    accelerator, batch_size, refinement, precision, deterministic, check
        As `ptycho_torch.inference.reconstruct.reconstruct` has them.
    n_positions, seed
        Positions to use, drawn at random by the seed; all of the scan when None.
    watcher
        Who is told how it goes.
    here
        Which of the processes that share the work this one is; all return the same.
    scratch
        Folder for a canvas larger than memory, as `ptycho_torch.inference.reconstruct.reconstruct` has it.

    Raises
    ------
    BackendNotInstalledError
        PyTorch is not there.
    BundleError, DataError
        A file can't be used.
    LostError
        Another process is gone.
    """
    try:
        from ptycho_torch.base.devices import device_of
        from ptycho_torch.inference.reconstruct import reconstruct
        from ptycho_torch.persistence.bundle import read_bundle
        from ptycho_torch.processes.world import joined
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    device = device_of(here, accelerator)
    with joined(here, device) as world:
        bundle = read_bundle(run)
        scan = read(data, nphotons=bundle.config.nphotons)
        if n_positions is not None and n_positions < scan.n_positions:
            scan = scan.part(taken(scan.n_positions, n_positions, seed))
        for finding in require(scan):
            logger.warning("%s", finding)
        result = reconstruct(
            bundle.pinn,
            scan,
            device=device,
            batch_size=batch_size,
            refinement=refinement,
            precision=precision,
            deterministic=deterministic,
            n_neighbours=bundle.config.neighbor_count,
            check=check,
            watcher=watcher,
            world=world,
            scratch=scratch,
        )
    return Made(result, scan, str(device), bundle.config, refinement, bundle.found)


def write_results(folder: Path, made: Made, facts: dict[str, Any], training: Mapping[str, Sequence[float]]) -> None:
    """Write the object, its self-check, pictures and report, and the facts."""
    result, check = made.result.final, made.result.check
    assert check is not None
    # A canvas in fields is more than a page can hold: it shows the one that was checked.
    shown = made.result.field or result
    result.write(folder / "reconstruction.npz")
    check.write(folder / "self_check.npz")
    save_amplitude(folder / "amplitude.png", result)
    save_phase(folder / "phase.png", result)
    save_report(folder / "report.html", Report(made.scan, shown, check, facts, training))
    write_text(folder / "summary.json", json.dumps(facts, indent=2))


def _write_product(folder: Path, made: Made) -> None:
    """Write the object in metres, where they are known."""
    try:
        write_reconstruction(folder / "product.h5", made.result.final)
    except DataError as reason:
        logger.info("no product.h5 for Ptychodus: %s", reason)


def _field_of(result: "Result") -> dict[str, Any] | None:
    """Return which part of a canvas that was solved in fields `self_check` and the report speak of; None for all."""
    if result.field is None:
        return None
    height, width = result.field.object_.shape
    of_height, of_width = result.final.object_.shape
    return {
        "n_positions": len(result.field.positions),
        "shape": [height, width],
        "origin": result.field.origin.tolist(),
        "canvas": [of_height, of_width],
    }


def summary(
    made: Made, trained: TrainingRecord, *, data: str, command: str, finished: str, machine: str
) -> dict[str, Any]:
    """Return what summary.json says.

    Parameters
    ----------
    trained
        What is known of the training. Before any scan was seen, only the choices of the network say anything.
    data
        The scan's file.
    command
        Command line that made this result.
    finished, machine
        As `ptycho.base.provenance` has them.
    """
    from ptycho_torch.persistence.manifest import package_versions

    result, settings = made.result, to_dict(made.config)
    return {
        "data": data,
        "deviance": result.deviance,
        "held_out_deviance": result.held_out_deviance,
        "r_factor": result.r_factor,
        "self_check": result.check.as_dict() if result.check else None,
        "field": _field_of(result),
        "iterations": result.iterations,
        "stopped_early": result.stopped_early,
        "refined": refined(made.refinement, result.final),
        "network_weight": result.network_weight,
        "network_kept": result.network_kept,
        "seconds": result.seconds,
        "patterns_per_second": made.scan.n_positions / sum(result.seconds.values()),
        "n_positions": made.scan.n_positions,
        "origin": made.scan.origin,
        "geometry": None if made.scan.geometry is None else asdict(made.scan.geometry),
        "notes": made.scan.notes,
        "device": made.device,
        "machine": machine,
        "finished": finished,
        "versions": package_versions(),
        "commands": ({trained.verb: trained.command} if trained.command else {}) | {"reconstruct": command},
        "settings": {"model": settings["model"]} if trained.verb == "pretrain" else settings,
    }
