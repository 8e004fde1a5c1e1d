"""``ptycho train``: train a network on a scan."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from ptycho.acquisition.checks import require
from ptycho.acquisition.readers import read
from ptycho.base.atomic import write_text
from ptycho.base.errors import ConfigError, extra_missing
from ptycho.cli.folders import output_folder
from ptycho.cli.parsing import verb_parser
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_model, validate_training

logger = logging.getLogger(__name__)

BUNDLE = "wts.h5.zip"
FILLED = ("train_data_file", "test_data_file", "output_dir", "n_images")


def run(argv: Sequence[str]) -> int:
    """Train on a scan and write the bundle, the configuration, the curves and checkpoints."""
    parser = verb_parser("train", "Train a network on a scan, without labels unless model_type is supervised.")
    parser.add_argument("train", type=Path, metavar="TRAIN", help="scan to train on")
    parser.add_argument("--validate", type=Path, metavar="FILE", help="scan that only judges the training")
    parser.add_argument("--output_dir", type=Path, required=True, metavar="RUN", help="folder for everything written")
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in RUN")
    parser.add_argument("--overwrite", action="store_true", help="replace the trained network in RUN")
    parser.add_config(TrainingConfig, skip=FILLED)
    parser.add_config(PyTorchExecutionConfig, "execution")
    given = parser.read(argv)
    asked = given.arguments
    own = {"train_data_file": asked.train, "test_data_file": asked.validate, "output_dir": asked.output_dir}
    config = given.config(TrainingConfig, own)
    execution = given.config(PyTorchExecutionConfig)
    execution.enable_progress_bar = execution.enable_progress_bar or not asked.quiet
    validate_training(config, execution)
    output_folder(asked.output_dir, [BUNDLE], overwrite=asked.overwrite)
    checkpoint = asked.output_dir / "checkpoints" / "last.ckpt"
    if asked.resume and not checkpoint.is_file():
        raise ConfigError(f"nothing to resume: {checkpoint} does not exist; give the folder of an interrupted run")
    given_size = "N" in given.choices[TrainingConfig].get("model", {})
    train(config, execution, given_size=given_size, resume=checkpoint if asked.resume else None)
    return 0


def train(
    config: TrainingConfig, execution: PyTorchExecutionConfig, *, given_size: bool, resume: Path | None = None
) -> None:
    """Train on the scan in ``train_data_file``, judged by ``test_data_file``; write all to ``output_dir``.

    Parameters
    ----------
    given_size
        Somebody chose ``model.N``, and a scan of another size is refused; where nobody did the scan decides.
    resume
        Checkpoint of an interrupted run.

    Raises
    ------
    BackendNotInstalledError
        PyTorch is not there.
    ConfigError, DataError
        A choice or a file can't be used.
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
        from ptycho_torch.training.fit import fit
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    done = fit(config, execution, *scans, resume=resume)
    folder = config.output_dir
    write_bundle(folder / BUNDLE, done.pinn, config)
    rate = done.n_patterns / max(done.seconds, 1e-9)
    report = {"history": done.history, "seconds": done.seconds, "patterns_per_second": rate}
    write_text(folder / "training.json", json.dumps(report, indent=2))
    logger.info("trained in %.0f s (%.0f patterns/s); wrote %s", done.seconds, rate, folder / BUNDLE)
