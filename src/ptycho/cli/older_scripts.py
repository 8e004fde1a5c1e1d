"""``ptycho_train``, ``ptycho_inference`` and ``ptycho_evaluate``: the flags and file names of older scripts."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base import logs
from ptycho.base.atomic import atomic_path
from ptycho.base.errors import ConfigError
from ptycho.cli import compare as comparison
from ptycho.cli.folders import all_together, output_file, output_folder
from ptycho.cli.reconstruct import reconstruct_file
from ptycho.cli.status import exit_status
from ptycho.cli.train import PRODUCTS, leads, run_folder, train
from ptycho.config.engine import tell_engine
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import from_dict
from ptycho.config.flags import reader
from ptycho.config.inference import InferenceConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_inference, validate_training
from ptycho.interop.arguments import (
    ScriptParser,
    choices,
    configuration,
    execution_configuration,
    parse_arguments,
    setup_configuration,
)
from ptycho.metrics.summary import compare
from ptycho.report.demo_page import save_demo_page
from ptycho.report.figures import IMAGES, check_limits, save_images

logger = logging.getLogger(__name__)

OBJECT = "reconstruction.npz"
COMPARISON = "comparison_plot.png"
DUMP = "debug_dump.npz"
SEED = 42
BATCH = 64
# Choices of `InferenceConfig` that are flags of the script under their own names.
INFERENCE_FLAGS = ("output_dir", "n_images", "n_subsample", "subsample_seed", "debug", "backend")
# Flag -> choice of the machine.
MACHINE_FLAGS = {
    "--torch-accelerator": "accelerator",
    "--torch-num-workers": "num_workers",
    "--torch-inference-batch-size": "inference_batch_size",
}


def run_train(argv: Sequence[str] | None = None) -> int:
    """Run ``ptycho_train``: train on a scan and, with ``--do_stitching``, reconstruct the other one."""
    words = sys.argv[1:] if argv is None else argv
    return exit_status("ptycho_train", lambda: _train(parse_arguments(argv), ["ptycho_train", *words]))


def run_inference(argv: Sequence[str] | None = None) -> int:
    """Run ``ptycho_inference``: reconstruct a scan with a trained network."""
    return exit_status("ptycho_inference", lambda: _inference(_inference_arguments(argv)))


def run_evaluate(argv: Sequence[str] | None = None) -> int:
    """Run ``ptycho_evaluate``: `ptycho compare` under another name."""
    words = sys.argv[1:] if argv is None else argv
    return exit_status("ptycho_evaluate", lambda: comparison.run(words, "ptycho_evaluate"))


def _train(asked: argparse.Namespace, command: Sequence[str]) -> int:
    _start_log(asked, asked.verbose)
    config = setup_configuration(asked, asked.config)
    execution = execution_configuration(asked, asked.config)
    execution.enable_progress_bar = execution.enable_progress_bar or not asked.quiet
    if config.train_data_file is None:
        raise ConfigError("train_data_file is not given; expected a scan to train on; add --train_data_file FILE")
    validate_training(config, execution)
    stitching = asked.do_stitching and config.test_data_file is not None
    if asked.do_stitching and not stitching:
        logger.warning("--do_stitching has nothing to reconstruct: --test_data_file is not given")
    given_size = "N" in choices(TrainingConfig, vars(asked), asked.config)["model"]
    _say_replaced(config.output_dir, [*PRODUCTS, *IMAGES])
    with run_folder(config, execution, [*PRODUCTS, *IMAGES], overwrite=True) as folder:
        train(config, execution, given_size=given_size, command=command, products=[*PRODUCTS, *IMAGES])
        if stitching and config.test_data_file is not None and leads(execution):
            made = reconstruct_file(
                folder,
                config.test_data_file,
                accelerator=execution.accelerator,
                batch_size=execution.inference_batch_size or BATCH,
            )
            save_images(folder, made.result.final)
    return 0


def _say_replaced(folder: Path, products: Sequence[str]) -> None:
    found = [name for name in products if (folder / name).exists()]
    if found:
        logger.warning("%s holds %s of an earlier run: replaced by this one", folder, ", ".join(found))


def _inference_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = ScriptParser("ptycho_inference", "Reconstruct a scan, with the flags of older scripts.")
    parser.add_argument("--model_path", type=Path, required=True, help="folder of a training run, or its wts.h5.zip")
    parser.add_argument(
        "--test_data", dest="test_data_file", type=Path, required=True, metavar="FILE", help="scan to reconstruct"
    )
    for name in INFERENCE_FLAGS:
        parser.add_choice(f"--{name}", InferenceConfig, name)
    for flag, name in MACHINE_FLAGS.items():
        parser.add_choice(flag, PyTorchExecutionConfig, name)
    parser.add_argument(
        "--comparison_plot", action="store_true", help=f"draw {COMPARISON} where the scan holds its objectGuess"
    )
    for end in ("vmin", "vmax"):
        flag = f"--phase_{end}"
        parser.add_argument(flag, type=reader(flag, float), metavar="RAD", help="end of the colours of the phase, rad")
    parser.add_argument(
        "--debug_dump",
        nargs="?",
        type=Path,
        const=True,
        metavar="DIR",
        help=f"write {DUMP} to DIR, or to the output folder",
    )
    return parser.parse_args(sys.argv[1:] if argv is None else list(argv))


def _inference(asked: argparse.Namespace) -> int:
    _start_log(asked, asked.verbose or bool(asked.debug))
    config = configuration(InferenceConfig, vars(asked), asked.config)
    validate_inference(config)
    machine = {name: vars(asked)[flag.strip("-").replace("-", "_")] for flag, name in MACHINE_FLAGS.items()}
    execution = from_dict({k: v for k, v in machine.items() if v is not None}, PyTorchExecutionConfig, "the flags")
    limits = (asked.phase_vmin, asked.phase_vmax)
    check_limits(*limits)
    products = [OBJECT, *IMAGES, COMPARISON]
    _say_replaced(config.output_dir, products)
    with output_folder(config.output_dir, products, overwrite=True) as folder:
        dump = None if asked.debug_dump is None else folder if asked.debug_dump is True else asked.debug_dump
        if dump is not None:
            output_file(dump / DUMP, overwrite=True)
        tell_engine(config)
        made = reconstruct_file(
            config.model_path,
            config.test_data_file,
            accelerator=execution.accelerator,
            batch_size=execution.inference_batch_size or BATCH,
            n_positions=config.n_groups if config.n_subsample is None else config.n_subsample,
            seed=SEED if config.subsample_seed is None else config.subsample_seed,
        )
        with all_together(folder, products) as staged:
            save_images(staged, made.result.final, limits)
            made.result.final.write(staged / OBJECT)
            if asked.comparison_plot:
                _draw_comparison(staged / COMPARISON, made.result.final, made.scan)
        if dump is not None:
            _dump(dump / DUMP, made.result.stitched, made.scan)
    logger.info("wrote %s, %s and %s to %s", OBJECT, *IMAGES, folder)
    return 0


def _start_log(asked: argparse.Namespace, verbose: bool) -> None:
    level = logging.getLevelNamesMapping()[asked.console_level]
    logs.configure(quiet=asked.quiet, verbose=verbose, level=level)


def _draw_comparison(path: Path, reconstruction: Reconstruction, scan: Acquisition) -> None:
    if scan.object_ is None:
        logger.warning("%s is not drawn: the scan holds no objectGuess to compare with", path.name)
        return
    found = compare(reconstruction, scan.object_)
    save_demo_page(path, title="Reconstruction and objectGuess", scan=scan, comparisons={"network": found})


def _dump(path: Path, stitched: Reconstruction, scan: Acquisition) -> None:
    """Write what the network was given and what it made of it."""
    with atomic_path(path) as partial_path, partial_path.open("wb") as stream:
        np.savez(
            stream,
            counts=scan.counts(),
            positions=scan.positions,
            mask=scan.mask,
            probe=stitched.probe,
            object=stitched.object_,
            coverage=stitched.coverage,
            origin=stitched.origin,
        )
