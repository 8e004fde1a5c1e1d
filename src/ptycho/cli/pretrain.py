"""``ptycho pretrain``: train a network on simulated experiments, before any scan is seen."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from ptycho.base.atomic import write_text
from ptycho.base.errors import extra_missing
from ptycho.base.interruption import Interruption
from ptycho.base.printable import counted
from ptycho.base.provenance import provenance
from ptycho.cli.folders import forget_earlier, output_folder, set_aside
from ptycho.cli.parsing import verb_parser
from ptycho.cli.starting import BUNDLE, PRODUCTS, network_in
from ptycho.config.commented import commented_yaml
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.pretraining import PretrainingConfig, validate_pretraining

logger = logging.getLogger(__name__)

# Choices that a bundle makes, where the run starts from one and nobody chose otherwise.
NETWORK = ("N", "architecture", "lean_width", "lean_levels", "passes")
# Choices that the verb makes itself.
FILLED = ("output_dir", "from_bundle")
# Of the choices of the machine these are read; the others are no flags here.
READ = ("accelerator", "precision", "deterministic", "learning_rate", "gradient_clip_val", "enable_progress_bar")
UNREAD = tuple(field.name for field in fields(PyTorchExecutionConfig) if field.name not in READ)


def run(argv: Sequence[str]) -> int:
    """Pre-train a network and write the bundle, the configuration and the curves."""
    printing = "--print_config" in argv
    parser = verb_parser("pretrain", "Train a network on simulated experiments that are never stored.")
    parser.add_argument(
        "--output_dir", type=Path, required=not printing, metavar="RUN", help="folder for everything written"
    )
    parser.add_argument(
        "--from", type=Path, metavar="BUNDLE", help="start from the weights of a trained or pre-trained network"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    parser.add_argument(
        "--print_config", action="store_true", help="print all choices as a YAML file with comments, and train nothing"
    )
    parser.add_config(PretrainingConfig, skip=FILLED, presets=False)
    parser.add_config(PyTorchExecutionConfig, "execution", skip=UNREAD)
    # jsonargparse has a flag of this name itself and would rewrite it.
    given = parser.read([word for word in argv if word != "--print_config"])
    asked = given.arguments
    named = {"output_dir": asked.output_dir, "from_bundle": asked["from"]}
    own = {name: path for name, path in named.items() if path is not None}
    network = {} if asked["from"] is None else network_in(asked["from"], size=True)
    below = {name: network[name] for name in NETWORK if name in network}
    config, execution = given.config(PretrainingConfig, own, below), given.config(PyTorchExecutionConfig)
    validate_pretraining(config, execution)
    if printing:
        sys.stdout.write(commented_yaml(config, execution, verb="pretrain", left_out=(*FILLED, *UNREAD), open_=()))
        return 0
    execution.enable_progress_bar = execution.enable_progress_bar or not asked.quiet
    with output_folder(config.output_dir, PRODUCTS, overwrite=asked.overwrite) as folder:
        _pretrain(config, execution, folder, ["ptycho", "pretrain", *argv])
    return 0


def _pretrain(
    config: PretrainingConfig, execution: PyTorchExecutionConfig, folder: Path, command: Sequence[str]
) -> None:
    try:
        from ptycho_torch.persistence.bundle import write_bundle
        from ptycho_torch.training.pretrain import pretrain
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    set_aside(folder, PRODUCTS)
    done = pretrain(config, execution, folder=folder)
    rate = done.n_patterns / max(done.seconds, 1e-9)
    report = {"history": done.history, "seconds": done.seconds, "patterns_per_second": rate, **provenance(command)}
    write_text(folder / "pretraining.json", json.dumps(report, indent=2))
    write_bundle(folder / BUNDLE, done.pinn, done.config, done.began_from)
    forget_earlier(folder, PRODUCTS)
    if done.ended is not None:
        raise Interruption(done.ended, f"interrupted; what was learnt in {done.seconds:.0f} s is in {folder / BUNDLE}")
    steps = counted(done.n_steps, "step")
    logger.info("pre-trained in %.0f s, %s (%.0f patterns/s); wrote %s", done.seconds, steps, rate, folder / BUNDLE)
