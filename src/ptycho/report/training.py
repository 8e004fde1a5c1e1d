"""What a training left beside its bundle: the curves and the command."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

# File that a verb leaves beside its bundle -> the verb.
NAMES = {"training.json": "train", "pretraining.json": "pretrain"}
LARGEST = 2**25  # bytes
MOST = 1e30  # of a value that is a loss and can be drawn


@dataclass(frozen=True)
class TrainingRecord:
    """Curves, label -> one value an epoch, command line and verb, train or pretrain; empty where nothing is known."""

    curves: Mapping[str, list[float]] = field(default_factory=dict)
    command: str = ""
    verb: str = ""


def training_record(run: Path) -> TrainingRecord:
    """Read training.json or pretraining.json in the folder of a run, or beside its bundle.

    A report lives without it: a bundle may travel alone, and then the record is empty; so it is where the file is
    damaged, and a warning says so.
    """
    folder = run if run.is_dir() else run.parent
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if path is None:
        return TrainingRecord()
    verb = NAMES[path.name]
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        found = json.loads(path.read_bytes())
        curves = {str(name): _curve(values) for name, values in found["history"].items()}
    except (OSError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        logger.warning("%s holds no curves of a training (%s); the report goes without them", path, error)
        return TrainingRecord(verb=verb)
    curves = {name: curve for name, curve in curves.items() if curve}
    return TrainingRecord(curves, str(found.get("command", "")), verb)


def _curve(values: Any) -> list[float]:
    curve = [float(value) for value in values]
    if not all(abs(value) <= MOST for value in curve):
        raise ValueError(f"a value is not finite or above {MOST:g}")
    return curve
