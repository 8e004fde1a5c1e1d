"""The choices of an interrupted run: those that it began with."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptycho.base.errors import ConfigError
from ptycho.cli.folders import present
from ptycho.cli.parsing import Given
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import Config, from_dict, kept_choices, load_yaml_config, to_dict
from ptycho.config.training import TrainingConfig

logger = logging.getLogger(__name__)

# Where the files lie, and how the machine does the work: what is computed stays the same.
FREE = {
    *("train_data_file", "test_data_file", "output_dir"),
    *("accelerator", "num_workers", "pin_memory", "persistent_workers", "prefetch_factor"),
    *("enable_progress_bar", "inference_batch_size"),
}


def begun(folder: Path, products: Sequence[str]) -> bool:
    """Say whether a folder holds a run; where it holds none, ``--resume`` begins it, for jobs that are queued again."""
    found = present(folder, products)
    if not found:
        logger.info("nothing to resume in %s: a run begins", folder)
    return bool(found)


def resumed(
    given: Given, paths: Mapping[str, Path | None], file: Path
) -> tuple[TrainingConfig, PyTorchExecutionConfig]:
    """Return the choices in the ``config.yaml`` of a run; what is given beside ``--resume`` must agree with them.

    The number of epochs must agree too: the learning rate of every step depends on it. Devices that were to be counted
    are as many as the run began with.

    Parameters
    ----------
    given
        What the user asked for.
    paths
        Fields of `TrainingConfig` that name files and folders -> where they are now; None leaves what the run had.
    file
        The ``config.yaml``.

    Raises
    ------
    ConfigError
        It can't be read, or a choice differs: with both values.
    """
    kept = kept_choices(load_yaml_config(file))
    machine = kept.pop("execution", {})
    moved = {name: path for name, path in paths.items() if path is not None}
    config = given.config(TrainingConfig, moved, below=kept)
    execution, began = (
        given.config(PyTorchExecutionConfig, below=machine),
        from_dict(machine, PyTorchExecutionConfig, str(file)),
    )
    if execution.devices == "auto":
        execution.devices = began.devices
    differing = [
        *_differences(from_dict(kept, TrainingConfig, str(file)), config, ""),
        *_differences(began, execution, "execution."),
    ]
    if differing:
        raise ConfigError(
            f"{', '.join(differing)} in {file}; expected the choices that the run began with; leave them out beside "
            "--resume, or start another run without it"
        )
    return config, execution


def _differences(kept: Config, asked: Config, prefix: str) -> list[str]:
    before, now = _flat(to_dict(kept), prefix), _flat(to_dict(asked), prefix)
    free = {f"{prefix}{name}" for name in FREE}
    return [
        f"{name} is {now[name]!r} but {before[name]!r}"
        for name in now
        if name not in free and now[name] != before[name]
    ]


def _flat(choices: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in choices.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
