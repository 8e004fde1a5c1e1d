"""What happens beside the steps: averaged weights, curves, and what those who watch are told."""

import csv
import io
import math
import time
from itertools import chain
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging

from ptycho.base.atomic import write_text
from ptycho.base.watching import Stage, Watcher
from ptycho_torch.data.batch import Step
from ptycho_torch.data.pictures import show
from ptycho_torch.data.stream import Draw
from ptycho_torch.training.canvas import RunningCanvas

# The averaged weights look back over this share of a run, and over no fewer steps than that.
AVERAGE_SHARE = 0.01
AVERAGE_STEPS = 10
# Seconds between two looks at the loss of a step.
READ_LOSS = 1.0
# Share of the time that keeping patches for a picture may take.
LISTENING = 0.01
# Name of a logged loss -> its curve for those who watch.
CURVES = {"train_loss": "training loss", "val_loss": "validation loss"}


class AveragedWeights(WeightAveraging):
    """The exponential average of the weights over about a hundredth of a run; it ends up in the bundle."""

    def __init__(self, n_steps: int) -> None:
        super().__init__(use_buffers=True)
        self._step = 1 / max(AVERAGE_STEPS, AVERAGE_SHARE * n_steps)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Follow the optimiser step by step, so that a step that is recorded as a whole has the average in it.

        Lightning makes the average before the weights are on their device; the CPU counts, where nobody waits for it.
        """
        (optimizer,) = trainer.optimizers
        self._average_model.to(pl_module.device)
        self._average_model.n_averaged = self._average_model.n_averaged.cpu()
        self._average, self._current = (
            [tensor.detach() for tensor in chain(module.parameters(), module.buffers())]
            for module in (self._average_model.module, pl_module)
        )
        self._begun = bool(self._average_model.n_averaged)
        optimizer.register_step_post_hook(self._follow)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Step | Draw, batch_idx: int
    ) -> None:
        """Count the steps: one that is replayed counts nothing."""
        self._average_model.n_averaged.fill_(trainer.global_step)

    @torch.no_grad()
    def _follow(self, *_: Any) -> None:
        """Bring the average nearer to the weights; one tensor after the other takes a tenth of a small step."""
        if self._begun:
            torch._foreach_lerp_(self._average, self._current, self._step)
        else:
            torch._foreach_copy_(self._average, self._current)
        self._begun = True


class Curves(lightning.Callback):
    """Collects the losses, one value an epoch, with the steps until then, and counts patterns and seconds.

    Parameters
    ----------
    file
        CSV file of the losses, whole after every epoch; None for no file.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.history: dict[str, list[float]] = {"train_loss": []}
        self.steps: list[int] = []
        self.n_patterns = 0
        self.seconds = 0.0
        self._since = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._since = time.perf_counter()
        if not self.steps:
            # An earlier version kept no steps in its checkpoints; the epochs before them were whole.
            per_epoch = -(-trainer.num_training_batches // trainer.accumulate_grad_batches)
            self.steps = [(epoch + 1) * per_epoch for epoch in range(len(self.history["train_loss"]))]

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Step | Draw, batch_idx: int
    ) -> None:
        """Count the patterns and the time."""
        self.n_patterns += batch.numel() * trainer.world_size
        self._count_seconds()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the losses of the epoch."""
        self._count_seconds()
        self.steps.append(trainer.global_step)
        for name in ("train_loss", "val_loss"):
            if name in trainer.callback_metrics:
                self.history.setdefault(name, []).append(float(trainer.callback_metrics[name]))
        if self.file is not None and trainer.is_global_zero:
            write_text(self.file, self._table())

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {
            "history": self.history,
            "steps": self.steps,
            "n_patterns": self.n_patterns,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the curves of an interrupted run."""
        self.history = state_dict["history"]
        self.steps = state_dict.get("steps", [])
        self.n_patterns = state_dict["n_patterns"]
        self.seconds = state_dict["seconds"]

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now

    def _table(self) -> str:
        """Return the losses as CSV: an epoch a row, and the step that ended it, both counted from 0."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["epoch", "step", *self.history])
        for epoch, (done, *losses) in enumerate(zip(self.steps, *self.history.values(), strict=True)):
            rows.writerow([epoch, done - 1, *losses])
        return text.getvalue()


class Watched(lightning.Callback):
    """Tells somebody how the run goes; patches are kept from the moment that a picture is wanted.

    Keeping them takes a hundredth of the time since then at most: where it would take more, steps are left out.

    Parameters
    ----------
    watcher
        Who is told.
    curves
        The losses.
    time_limit
        Seconds after which something else ends the run.
    """

    def __init__(self, watcher: Watcher, curves: Curves, time_limit: float = math.inf) -> None:
        self._watcher = watcher
        self._curves = curves
        self._time_limit = time_limit
        self._canvas: RunningCanvas | None = None
        self._listens_since = self._listened = 0.0
        self._loss: float | None = None
        self._read = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, or go on with the curves of an interrupted run."""
        total, begun = int(trainer.estimated_stepping_batches), trainer.global_step
        known: dict[str, Any] = {"measure": "loss", "unit": "patterns", "begun": begun, "time_limit": self._time_limit}
        self._stage = Stage(self._watcher, "training", total, **known)
        for name, values in self._curves.history.items():
            for value in values:
                self._watcher.add(CURVES[name], value)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Step | Draw, batch_idx: int
    ) -> None:
        """Tell the step, and show the object when somebody looks."""
        now = time.monotonic()
        if now - self._read >= READ_LOSS:
            # Reading a value makes a GPU wait, and Lightning has divided it by the batches of a step.
            self._loss, self._read = float(outputs["loss"]) * trainer.accumulate_grad_batches, now
        self._stage.advance(trainer.global_step, batch.numel() * trainer.world_size, self._loss)
        begun = time.perf_counter()
        if self._canvas is not None and self._listened <= LISTENING * (begun - self._listens_since):
            self._canvas.add(batch.groups.reshape(-1), pl_module.patches)
        if self._watcher.wants_picture:
            if self._canvas is None:
                self._canvas = RunningCanvas(pl_module.pinn.probe.detach(), trainer.datamodule.training_scan)
                self._listens_since = begun = time.perf_counter()
            else:
                show(self._watcher, *self._canvas.merged())
        self._listened += time.perf_counter() - begun

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Tell the losses of the epoch, and let what it predicted fade."""
        for name, values in self._curves.history.items():
            if values:
                self._watcher.add(CURVES[name], values[-1])
        if self._canvas is not None:
            self._canvas.fade()
