"""How a training starts: its flags, choices and scans, alike for the verb that trains and for the one that checks."""

from pathlib import Path
from typing import Any

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import Finding, require
from ptycho.acquisition.readers import read
from ptycho.base.errors import ConfigError, extra_missing
from ptycho.cli.parsing import Given, VerbParser, add_live, verb_parser
from ptycho.cli.resume import begun, resumed
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import to_dict
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_model, validate_training

BUNDLE = "wts.h5.zip"
CONFIG = "config.yaml"
# What a training or a pre-training leaves. The bundle is written last: where it is, the run is finished.
PRODUCTS = (
    *(
        BUNDLE,
        "training.json",
        "pretraining.json",
        CONFIG,
        "logs/metrics.csv",
        "checkpoints/last.ckpt",
        "checkpoints/epoch=*.ckpt",
    ),
    "tensorboard/events.out.tfevents.*",
)
# Choices that the verb makes itself, and one of the machine that only a reconstruction reads.
FILLED = ("train_data_file", "test_data_file", "output_dir", "from_bundle", "n_images")
UNUSED = ("inference_batch_size",)
# Largest learning rate of a training that starts from a bundle, where no file and no flag chose one.
TUNING_RATE = 2e-4


def training_parser(verb: str, description: str, *, needs_files: bool = True) -> VerbParser:
    """Return the parser of a verb that takes the flags of a training; without ``needs_files`` it may name no file."""
    parser = verb_parser(verb, description)
    parser.add_argument(
        "train", type=Path, nargs=None if needs_files else "?", metavar="TRAIN", help="scan to train on"
    )
    parser.add_argument("--validate", type=Path, metavar="FILE", help="scan that only judges the training")
    parser.add_argument(
        "--output_dir", type=Path, required=needs_files, metavar="RUN", help="folder for everything written"
    )
    parser.add_argument(
        "--from", type=Path, metavar="BUNDLE", help="start from the weights of a trained or pre-trained network"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the interrupted run in RUN, as it began; begin where none is",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    add_live(parser)
    parser.add_config(TrainingConfig, skip=FILLED)
    parser.add_config(PyTorchExecutionConfig, "execution")
    return parser


def goes_on(given: Given) -> bool:
    """Return whether the run in the folder is gone on with: somebody asked for it, and there is one.

    Raises
    ------
    ConfigError
        It shall be replaced too.
    """
    asked = given.arguments
    if asked.resume and asked.overwrite:
        raise ConfigError(
            "--resume goes on with the run that --overwrite replaces; expected one of them; leave one out"
        )
    return asked.resume and begun(asked.output_dir, PRODUCTS)


def training_choices(given: Given, *, resume: bool) -> tuple[TrainingConfig, PyTorchExecutionConfig]:
    """Return the choices of a training: those that were asked for, or with ``resume`` those of the run in the folder.

    Raises
    ------
    ConfigError
        A choice can't be used, or differs from that of the interrupted run.
    """
    asked = given.arguments
    own = {"train_data_file": asked.train, "test_data_file": asked.validate, "output_dir": asked.output_dir}
    bundle = asked["from"]
    if resume:
        config, execution = resumed(
            given, own if bundle is None else {**own, "from_bundle": bundle}, asked.output_dir / CONFIG
        )
    elif bundle is not None:
        config = given.config(
            TrainingConfig, {**own, "from_bundle": bundle}, above_preset={"model": network_in(bundle)}
        )
        execution = given.config(PyTorchExecutionConfig, above_preset={"learning_rate": TUNING_RATE})
    else:
        config, execution = given.config(TrainingConfig, own), given.config(PyTorchExecutionConfig)
    validate_training(config, execution)
    return config, execution


def network_in(bundle: Path, *, size: bool = False) -> dict[str, Any]:
    """Return the choices about the network in a bundle; with ``size`` that of its patterns too, else the scan's.

    Raises
    ------
    BackendNotInstalledError
        PyTorch is not there.
    BundleError
        The bundle can't be used.
    """
    try:
        from ptycho_torch.persistence.bundle import read_bundle
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    choices = to_dict(read_bundle(bundle).config.model)
    if not size:
        del choices["N"]
    return choices


def size_chosen(given: Given, *, resume: bool) -> bool:
    """Return whether somebody chose ``model.N``: a scan of another size is refused then, and else decides."""
    return resume or "N" in given.choices[TrainingConfig].get("model", {})


def training_scans(config: TrainingConfig, *, size_given: bool) -> tuple[list[Acquisition], list[tuple[Finding, ...]]]:
    """Return the scans in ``train_data_file`` and ``test_data_file``, and the warnings on each.

    The first decides ``config.model.N`` where ``size_given`` says that nobody did.

    Raises
    ------
    ConfigError, DataError
        A file can't be used, or its patterns have a size that no network takes.
    """
    paths = [path for path in (config.train_data_file, config.test_data_file) if path]
    scans = [read(path, nphotons=config.nphotons) for path in paths]
    findings = [require(scan) for scan in scans]
    if not size_given:
        config.model.N = scans[0].size
    validate_model(config.model)
    return scans, findings
