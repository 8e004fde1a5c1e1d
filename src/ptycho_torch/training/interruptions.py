"""Ctrl-C and SIGTERM while a network learns: the step is finished and kept, then the run ends."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import lightning

from ptycho.base.interruption import may_listen
from ptycho_torch.processes.world import ALONE, World

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ended(Exception):
    """A run ended between two steps because it was asked to, by a signal of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


class Interruptions(lightning.Callback):
    """Ends a run between two steps when it is asked to; asked twice, it ends at once.

    Parameters
    ----------
    checkpoint
        Where the state is kept when the run ends inside an epoch; None to keep nothing.
    world
        The processes that end together.
    """

    def __init__(self, checkpoint: Path | None, world: World = ALONE) -> None:
        self.checkpoint = checkpoint
        self.world = world
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Listen, where this thread may; Lightning's own listeners, which know no checkpoint, wait."""
        self._before = {number: signal.signal(number, self._hear) for number in SIGNALS if may_listen(number)}

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """End after a whole epoch: its checkpoint is written."""
        self._end_if_asked(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End after a step that changed the weights; the last one of an epoch belongs to its end."""
        whole_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if whole_step and not trainer.is_last_batch:
            self._end_if_asked(trainer, self.checkpoint)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Listen no more."""
        self._listen_no_more()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Listen no more."""
        self._listen_no_more()

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self.asked = number
        self._listen_no_more()

    def _listen_no_more(self) -> None:
        for number, listener in self._before.items():
            signal.signal(number, listener)
        self._before = {}

    def _end_if_asked(self, trainer: Any, checkpoint: Path | None = None) -> None:
        # Every process of a run on several devices ends at the same step.
        if not self.world.any(self.asked is not None):
            return
        if checkpoint is not None:
            trainer.save_checkpoint(checkpoint)
        raise Ended(self.asked or signal.SIGTERM)
