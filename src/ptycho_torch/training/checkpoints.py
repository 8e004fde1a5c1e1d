"""The state of a training on disk: whole at every instant, found again, and held to the run that goes on with it."""

import io
import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from ptycho.base.atomic import write_bytes
from ptycho.base.errors import ConfigError
from ptycho.config.execution import PyTorchExecutionConfig

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
LAST = "last.ckpt"
# What every checkpoint of this software holds.
KEPT = ("state_dict", "callbacks", "ScanDataModule", "finished", "seen", "plateau")
DAMAGE = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, UnpicklingError)


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint; what is there under its name stays until this one is on the disk."""
        raw = io.BytesIO()
        torch.save(checkpoint, raw)
        write_bytes(Path(path), raw.getbuffer())


def keepers(folder: Path, execution: PyTorchExecutionConfig, *, validates: bool) -> list[ModelCheckpoint]:
    """Return what keeps the best epochs, and what keeps the last one, to be resumed; both see whole epochs only."""
    metric = execution.checkpoint_monitor_metric
    if not validates:
        metric = metric.replace("val_", "train_")
    best = ModelCheckpoint(
        dirpath=folder / FOLDER,
        filename="epoch={epoch:02d}-" + metric + "={" + metric + ":.4f}",
        auto_insert_metric_name=False,
        monitor=metric,
        mode=execution.checkpoint_mode,
        save_top_k=execution.checkpoint_save_top_k,
        # A resumed run that sees an epoch again replaces its file.
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    last = ModelCheckpoint(
        dirpath=folder / FOLDER,
        filename=Path(LAST).stem,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    return [best, last]


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint of the run in ``folder``, None where it kept none; damaged ones are named.

    Raises
    ------
    ConfigError
        There are checkpoints and none can be read.
    """
    best = sorted((folder / FOLDER).glob("epoch=*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
    refused = None
    for path in [*(folder / FOLDER).glob(LAST), *best]:
        try:
            read_state(path)
        except ConfigError as error:
            refused = error
            logger.warning("%s is damaged; the checkpoint before it is taken", path)
        else:
            return path
    if refused is not None:
        raise refused
    return None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return what a run that goes on must agree with; nothing in the checkpoint is executed.

    Raises
    ------
    ConfigError
        It is damaged, no checkpoint, or one of an earlier version.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return {name: state[name] for name in KEPT}
    except DAMAGE as error:
        raise ConfigError(
            f"{checkpoint} can't be read; expected the checkpoint of an interrupted run, and it is damaged or old; "
            "start again with --overwrite and without --resume"
        ) from error
