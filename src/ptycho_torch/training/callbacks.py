"""What happens beside the steps: averaged weights, the progress line, the curves."""

import csv
import io
import logging
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import EMAWeightAveraging
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ptycho.base.atomic import write_text

logger = logging.getLogger(__name__)

# The averaged weights look back over this share of a run, and over no fewer steps than that.
AVERAGE_SHARE = 0.01
AVERAGE_STEPS = 10


def averaged_weights(n_steps: int) -> EMAWeightAveraging:
    """Return the exponential average of the weights over about a hundredth of a run; it ends up in the bundle."""
    horizon = max(AVERAGE_STEPS, AVERAGE_SHARE * n_steps)
    return EMAWeightAveraging(decay=1 - 1 / horizon, use_buffers=True)


class Curves(lightning.Callback):
    """Collects the losses, one value an epoch, and counts patterns and seconds.

    Parameters
    ----------
    file
        CSV file of the losses, whole after every epoch; None for no file.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.history: dict[str, list[float]] = {"train_loss": []}
        self.n_patterns = 0
        self.seconds = 0.0
        self._since = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Tensor, batch_idx: int) -> None:
        """Count the patterns and the time."""
        self.n_patterns += batch.numel()
        self._count_seconds()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the losses of the epoch."""
        self._count_seconds()
        for name in ("train_loss", "val_loss"):
            if name in trainer.callback_metrics:
                self.history.setdefault(name, []).append(float(trainer.callback_metrics[name]))
        if self.file is not None and trainer.is_global_zero:
            write_text(self.file, self._table(trainer.num_training_batches))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"history": self.history, "n_patterns": self.n_patterns, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the curves of an interrupted run."""
        self.history = state_dict["history"]
        self.n_patterns = state_dict["n_patterns"]
        self.seconds = state_dict["seconds"]

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now

    def _table(self, n_steps: int) -> str:
        """Return the losses as CSV: an epoch a row, counted from 0, and the step that ended it."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["epoch", "step", *self.history])
        for epoch, losses in enumerate(zip(*self.history.values(), strict=True)):
            rows.writerow([epoch, (epoch + 1) * n_steps - 1, *losses])
        return text.getvalue()


class RunProgress(lightning.Callback):
    """One line for the whole run: steps, loss, patterns a second, time left."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[rate]:.0f} patterns/s"),
            TimeRemainingColumn(),
        )
        self._since = 0.0
        self._seen = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the line."""
        self._since = time.perf_counter()
        self._progress.start()
        total = int(trainer.estimated_stepping_batches)
        self._task = self._progress.add_task("", total=total, completed=trainer.global_step, loss="-", rate=0.0)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Tensor, batch_idx: int) -> None:
        """Move the line."""
        self._seen += batch.numel()
        rate = self._seen / (time.perf_counter() - self._since)
        self._progress.update(self._task, completed=trainer.global_step, rate=rate)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the loss of the epoch; ten times a run in a line of its own where nobody watches a terminal."""
        if not self._progress.console.is_terminal and trainer.current_epoch % max(1, trainer.max_epochs // 10) == 0:
            loss = float(trainer.callback_metrics["train_loss"])
            logger.info("epoch %d of %d: loss %.4g", trainer.current_epoch + 1, trainer.max_epochs, loss)
        self._progress.update(self._task, loss=f"{float(trainer.callback_metrics['train_loss']):.4g}")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the line."""
        self._progress.stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the line when a run is interrupted."""
        self._progress.stop()
