"""``ptycho train``: train a network on a scan."""

import json
import logging
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ptycho.base import logs
from ptycho.base.atomic import write_text
from ptycho.base.errors import OutputError, extra_missing
from ptycho.base.interruption import Interruption
from ptycho.base.launched import launched
from ptycho.base.printable import counted
from ptycho.base.provenance import provenance
from ptycho.base.watching import NOBODY, Watcher
from ptycho.cli.folders import forget_earlier, output_folder, set_aside
from ptycho.cli.launching import launch, n_processes
from ptycho.cli.parsing import Given
from ptycho.cli.starting import (
    BUNDLE,
    FILLED,
    PRODUCTS,
    UNUSED,
    goes_on,
    size_chosen,
    training_choices,
    training_parser,
    training_scans,
)
from ptycho.config.commented import commented_yaml
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho.live.server import live_page

logger = logging.getLogger(__name__)


def run(argv: Sequence[str]) -> int:
    """Train on a scan and write the bundle, the configuration, the curves and checkpoints."""
    printing = "--print_config" in argv
    parser = training_parser(
        "train", "Train a network on a scan, without labels unless model_type is supervised.", needs_files=not printing
    )
    parser.add_argument(
        "--print_config", action="store_true", help="print all choices as a YAML file with comments, and train nothing"
    )
    # jsonargparse has a flag of this name itself and would rewrite it.
    given = parser.read([word for word in argv if word != "--print_config"])
    asked = given.arguments
    if printing:
        sys.stdout.write(_commented(given))
        return 0
    resume = goes_on(given)
    config, execution = training_choices(given, resume=resume)
    n = n_processes(execution.devices, execution.accelerator)
    if n > 1:
        return launch("train", argv, n)
    here = launched(execution.devices)
    execution.devices = here.size
    if not here.leads:
        logs.configure(level=logging.ERROR)
    execution.enable_progress_bar = execution.enable_progress_bar or not asked.quiet
    with run_folder(config, execution, PRODUCTS, overwrite=asked.overwrite or resume) as folder:
        if resume and (folder / BUNDLE).exists():
            logger.info("the run in %s is finished: nothing is left to do", folder)
            return 0
        given_size, command = size_chosen(given, resume=resume), ["ptycho", "train", *argv]
        address = asked.live if here.leads else None
        with live_page(address, f"ptycho train {asked.train} to {asked.output_dir}") as watcher:
            train(config, execution, given_size=given_size, command=command, resume=resume, watcher=watcher)
    return 0


def run_folder(
    config: TrainingConfig, execution: PyTorchExecutionConfig, products: Sequence[str], *, overwrite: bool
) -> AbstractContextManager[Path]:
    """Hold the folder of a run, as `ptycho.cli.folders.output_folder` does; of several processes the first one does."""
    folder = Path(config.output_dir)
    return output_folder(folder, products, overwrite=overwrite) if leads(execution) else nullcontext(folder)


def leads(execution: PyTorchExecutionConfig) -> bool:
    """Return whether this process is the run, or the first of those that share its devices; the others only compute."""
    return launched(execution.devices).leads


def _commented(given: Given) -> str:
    """Return all choices as YAML with comments; the size stays open where nobody chose it."""
    config, execution = given.config(TrainingConfig), given.config(PyTorchExecutionConfig)
    validate_training(config, execution)
    open_ = () if "N" in given.choices[TrainingConfig].get("model", {}) else ("N",)
    return commented_yaml(config, execution, verb="train", left_out=(*FILLED, *UNUSED), open_=open_)


def train(
    config: TrainingConfig,
    execution: PyTorchExecutionConfig,
    *,
    given_size: bool,
    command: Sequence[str],
    resume: bool = False,
    products: Sequence[str] = PRODUCTS,
    watcher: Watcher = NOBODY,
) -> None:
    """Train on the scan in ``train_data_file``, judged by ``test_data_file``; write all to ``output_dir``.

    Parameters
    ----------
    given_size
        Somebody chose ``model.N``, and a scan of another size is refused; where nobody did the scan decides.
    command
        What the user typed, word by word, for the record.
    resume
        Go on from the last checkpoint in ``output_dir``, or begin again where there is none.
    products
        What an earlier run may have left in ``output_dir``; it waits aside until this one is finished.
    watcher
        Who is told how it goes.

    Raises
    ------
    BackendNotInstalledError
        PyTorch is not there.
    ConfigError, DataError
        A choice or a file can't be used.
    OutputError
        Something can't be written.
    Interruption
        Ctrl-C or SIGTERM; the message says how to go on.
    """
    scans, findings = training_scans(config, size_given=given_size)
    for scan, doubtful in zip(scans, findings, strict=True):
        logger.info("%s of %d x %d px: %s", counted(scan.n_positions, "pattern"), scan.size, scan.size, scan.origin)
        for finding in doubtful:
            logger.warning("%s", finding)
    try:
        from ptycho_torch.persistence.bundle import write_bundle
        from ptycho_torch.training.checkpoints import newest_checkpoint
        from ptycho_torch.training.fit import prepare
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    folder = config.output_dir
    prepared = prepare(config, execution, *scans, folder=folder)
    checkpoint = newest_checkpoint(folder) if resume else None
    if resume:
        logger.info("going on from %s", checkpoint or "the beginning: no checkpoint was kept")
    elif leads(execution):
        set_aside(folder, products)
    try:
        done = prepared.train(checkpoint, watcher)
        if not leads(execution):
            return
        rate = done.n_patterns / max(done.seconds, 1e-9)
        report = {"history": done.history, "seconds": done.seconds, "patterns_per_second": rate, **provenance(command)}
        write_text(folder / "training.json", json.dumps(report, indent=2))
        write_bundle(folder / BUNDLE, done.pinn, config, done.began_from)
    except KeyboardInterrupt as stop:
        if not leads(execution):
            return
        number = stop.number if isinstance(stop, Interruption) else signal.SIGINT
        raise Interruption(number, f"interrupted; go on with: {_to_go_on(config)}") from stop
    except OutputError as error:
        raise OutputError(f"{error}; then go on with: {_to_go_on(config)}") from error
    forget_earlier(folder, products)
    logger.info("trained in %.0f s (%.0f patterns/s); wrote %s", done.seconds, rate, folder / BUNDLE)


def _to_go_on(config: TrainingConfig) -> str:
    return shlex.join(
        ["ptycho", "train", str(config.train_data_file), "--output_dir", str(config.output_dir), "--resume"]
    )
