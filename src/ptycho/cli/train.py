"""``ptycho train``: train a network on a scan."""

import json
import logging
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ptycho.acquisition.checks import require
from ptycho.acquisition.readers import read
from ptycho.base.atomic import write_text
from ptycho.base.errors import ConfigError, OutputError, extra_missing
from ptycho.base.interruption import Interruption
from ptycho.base.watching import NOBODY, Watcher
from ptycho.cli.folders import forget_earlier, output_folder, set_aside
from ptycho.cli.parsing import Given, add_live, verb_parser
from ptycho.cli.resume import resumed
from ptycho.config.commented import commented_yaml
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_model, validate_training
from ptycho.live.server import live_page

logger = logging.getLogger(__name__)

BUNDLE = "wts.h5.zip"
CONFIG = "config.yaml"
# The bundle is written last: where it is, the run is finished.
PRODUCTS = (BUNDLE, "training.json", CONFIG, "logs", "checkpoints", "tensorboard", "mlflow")
# Choices that the verb makes itself, and one of the machine that only a reconstruction reads.
FILLED = ("train_data_file", "test_data_file", "output_dir", "n_images")
UNUSED = ("inference_batch_size",)


def run(argv: Sequence[str]) -> int:
    """Train on a scan and write the bundle, the configuration, the curves and checkpoints."""
    parser = verb_parser("train", "Train a network on a scan, without labels unless model_type is supervised.")
    printing = "--print_config" in argv
    parser.add_argument("train", type=Path, nargs="?" if printing else None, metavar="TRAIN", help="scan to train on")
    parser.add_argument("--validate", type=Path, metavar="FILE", help="scan that only judges the training")
    parser.add_argument(
        "--output_dir", type=Path, required=not printing, metavar="RUN", help="folder for everything written"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the interrupted run in RUN, with the choices that it has"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    add_live(parser)
    parser.add_argument(
        "--print_config", action="store_true", help="print all choices as a YAML file with comments, and train nothing"
    )
    parser.add_config(TrainingConfig, skip=FILLED)
    parser.add_config(PyTorchExecutionConfig, "execution")
    # jsonargparse has a flag of this name itself and would rewrite it.
    given = parser.read([word for word in argv if word != "--print_config"])
    asked = given.arguments
    if printing:
        sys.stdout.write(_commented(given))
        return 0
    if asked.resume and asked.overwrite:
        raise ConfigError(
            "--resume goes on with the run that --overwrite replaces; expected one of them; leave one out"
        )
    own = {"train_data_file": asked.train, "test_data_file": asked.validate, "output_dir": asked.output_dir}
    with output_folder(asked.output_dir, PRODUCTS, overwrite=asked.overwrite or asked.resume) as folder:
        if asked.resume:
            config, execution = resumed(given, own, folder / CONFIG)
        else:
            config, execution = given.config(TrainingConfig, own), given.config(PyTorchExecutionConfig)
        execution.enable_progress_bar = execution.enable_progress_bar or not asked.quiet
        validate_training(config, execution)
        if asked.resume and (folder / BUNDLE).exists():
            logger.info("the run in %s is finished: nothing is left to do", folder)
            return 0
        given_size = asked.resume or "N" in given.choices[TrainingConfig].get("model", {})
        with live_page(asked.live, f"ptycho train {asked.train} to {asked.output_dir}") as watcher:
            train(config, execution, given_size=given_size, resume=asked.resume, watcher=watcher)
    return 0


def _commented(given: Given) -> str:
    """Return all choices as YAML with comments; the size stays open where nobody chose it."""
    config, execution = given.config(TrainingConfig), given.config(PyTorchExecutionConfig)
    validate_training(config, execution)
    open_ = () if "N" in given.choices[TrainingConfig].get("model", {}) else ("N",)
    return commented_yaml(config, execution, left_out=(*FILLED, *UNUSED), open_=open_)


def train(
    config: TrainingConfig,
    execution: PyTorchExecutionConfig,
    *,
    given_size: bool,
    resume: bool = False,
    products: Sequence[str] = PRODUCTS,
    watcher: Watcher = NOBODY,
) -> None:
    """Train on the scan in ``train_data_file``, judged by ``test_data_file``; write all to ``output_dir``.

    Parameters
    ----------
    given_size
        Somebody chose ``model.N``, and a scan of another size is refused; where nobody did the scan decides.
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
    paths = [path for path in (config.train_data_file, config.test_data_file) if path]
    scans = [read(path, nphotons=config.nphotons) for path in paths]
    for scan in scans:
        logger.info("%d patterns of %d x %d px: %s", scan.n_positions, scan.size, scan.size, scan.origin)
        for finding in require(scan):
            logger.warning("%s", finding)
    if not given_size:
        config.model.N = scans[0].size
    validate_model(config.model)
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
    else:
        set_aside(folder, products)
    try:
        done = prepared.train(checkpoint, watcher)
        rate = done.n_patterns / max(done.seconds, 1e-9)
        report = {"history": done.history, "seconds": done.seconds, "patterns_per_second": rate}
        write_text(folder / "training.json", json.dumps(report, indent=2))
        write_bundle(folder / BUNDLE, done.pinn, config)
    except KeyboardInterrupt as stop:
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
