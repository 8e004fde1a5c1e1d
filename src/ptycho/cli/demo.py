"""``ptycho demo``: the main job on a simulated scan, with a table and one page of pictures."""

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.writers import write_npz
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.errors import extra_missing
from ptycho.base.provenance import provenance
from ptycho.base.watching import Watcher, Watchers
from ptycho.cli import reconstruct as reconstruction
from ptycho.cli import starting
from ptycho.cli.compare import table
from ptycho.cli.folders import all_together, output_folder
from ptycho.cli.parsing import add_live, at_least, verb_parser
from ptycho.cli.reconstruct import Made, summary, write_results
from ptycho.cli.refining import told
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.flags import reader
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.live.server import live_page
from ptycho.live.terminal import progress_line
from ptycho.metrics.summary import Comparison, compare
from ptycho.report.demo_page import Curves, save_demo_page
from ptycho.report.training import TrainingRecord
from ptycho.simulation.simulate import Simulation, simulate

logger = logging.getLogger(__name__)

PAGE = "demo.png"
PRODUCTS = (PAGE, "scan.npz", *starting.PRODUCTS, *reconstruction.PRODUCTS)
ITERATIONS = 40
# A minute of training on two cores.
EPOCHS = 40
BATCH = 16


def run(argv: Sequence[str]) -> int:
    """Simulate, train, reconstruct and compare; write everything that the single verbs would."""
    parser = verb_parser("demo", "Simulate a scan, train on it, reconstruct, compare, and show it on one page.")
    parser.add_argument("--output_dir", type=Path, required=True, metavar="DIR", help="folder for everything written")
    parser.add_argument(
        "--seed", type=reader("--seed", int), metavar="INT", default=0, help="of the simulated scan [0]"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo in DIR")
    add_live(parser)
    given = parser.read(argv)
    asked = given.arguments
    at_least(asked, seed=0)
    with output_folder(asked.output_dir, PRODUCTS, overwrite=asked.overwrite) as folder:
        with all_together(folder, PRODUCTS) as staged, live_page(asked.live, f"ptycho demo in {folder}") as page:
            said = _demo(staged, folder, asked.seed, ["ptycho", "demo", *argv], page, quiet=asked.quiet)
        sys.stdout.write(f"{said}Pictures: {folder / PAGE}, report: {folder / 'report.html'}\n")
    return 0


def _demo(folder: Path, home: Path, seed: int, command: Sequence[str], page: Watcher, *, quiet: bool) -> str:
    """Do the main job in a folder, whose files will lie in ``home``; return the scores and the time as text."""
    try:
        import lightning  # noqa: F401
        import torch

        from ptycho_torch.base.devices import resolve_device
        from ptycho_torch.inference.reconstruct import maximum_likelihood, reconstruct
        from ptycho_torch.persistence.bundle import write_bundle
        from ptycho_torch.training.fit import prepare
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    started = time.perf_counter()
    choices = Simulation()
    logger.info("simulating %d patterns of %d x %d px", choices.n_positions, choices.N, choices.N)
    scan = simulate(choices, np.random.default_rng(seed))
    write_npz(folder / "scan.npz", scan)
    config = TrainingConfig(ModelConfig(N=scan.size), nepochs=EPOCHS, batch_size=BATCH, output_dir=home)
    execution = PyTorchExecutionConfig(enable_progress_bar=not quiet)
    logger.info("training a network on it, without labels")
    trained = prepare(config, execution, scan, folder=folder).train(watcher=page)
    write_bundle(folder / starting.BUNDLE, trained.pinn, config)
    logger.info("reconstructing, and %d likelihood iterations", ITERATIONS)
    device = resolve_device(execution.accelerator)
    with progress_line(shown=not quiet) as line:
        watcher = Watchers(line, page)
        refinement = Refinement(ITERATIONS)
        result = reconstruct(trained.pinn, scan, device=device, refinement=refinement, check=True, watcher=watcher)
    made = Made(result, scan, str(device), config, refinement, folder / starting.BUNDLE)
    facts = summary(made, TrainingRecord(), data=str(home / "scan.npz"), **provenance(command))
    logger.info("for comparison, the likelihood solution that starts from the truth")
    with progress_line(shown=not quiet) as line:
        limit = maximum_likelihood(scan, device=device, watcher=line)
    found = {
        "network": _scored(result.stitched, scan),
        "refined": _scored(result.final, scan),
        "ML from truth": _scored(limit, scan),
    }
    seconds = time.perf_counter() - started
    _page(folder / PAGE, scan, found, trained.history["train_loss"], result.final)
    scores = {name: comparison.as_dict() for name, comparison in found.items()}
    facts |= {"scores": scores, "training": {"seconds": trained.seconds, "history": trained.history}}
    write_results(folder, made, facts, trained.history)
    of_network = "".join(f"{line}.\n" for line in told(facts))
    return (
        f"\n{table(found)}\n\n"
        "network: its patches, stitched, without iterations. refined: after "
        f"{result.iterations} likelihood iterations.\n{of_network}"
        "ML from truth: the likelihood solution that starts from the true object and probe, with all its noise.\n"
        f"{trained.seconds:.0f} s of training ({trained.n_patterns / trained.seconds:.0f} patterns/s), "
        f"{seconds:.0f} s in all, torch {torch.__version__} on {device}. "
    )


def _scored(reconstruction: Reconstruction, scan: Acquisition) -> Comparison:
    assert scan.object_ is not None
    return compare(reconstruction, scan.object_)


def _page(
    path: Path, scan: Acquisition, found: dict[str, Comparison], losses: list[float], refined: Reconstruction
) -> None:
    save_demo_page(
        path,
        title=f"{scan.n_positions} patterns of {scan.size} x {scan.size} px, {Simulation().photons:.0e} photons each",
        scan=scan,
        comparisons={name: found[name] for name in ("network", "refined")},
        curves=[
            Curves("training", "epoch", "loss", {"training": losses}),
            Curves(
                "iterations", "iteration", "deviance per pixel", {"all pixels": refined.history["deviance"]}, first=0
            ),
        ],
    )
