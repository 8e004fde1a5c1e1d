"""Train a network on simulated experiments that are never stored."""

import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Sampler

from ptycho.base.watching import NOBODY, Watcher, Watchers
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import write_yaml
from ptycho.config.pretraining import PretrainingConfig
from ptycho.config.training import TrainingConfig
from ptycho.live.terminal import progress_line
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.base.repeating import repeatable
from ptycho_torch.data.stream import Draw, Pictures, SimulationStream
from ptycho_torch.persistence.bundle import start_from
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.pinn.simulated import distance, simulate
from ptycho_torch.training.callbacks import AveragedWeights, Curves, Watched
from ptycho_torch.training.clipping import CLIP_NORM
from ptycho_torch.training.fit import quietly, require_finite
from ptycho_torch.training.interruptions import Interruptions
from ptycho_torch.training.schedules import WARM_UP, warm_up_cosine

# Objects that regions are cut from; photographs need another package and stay unseen.
OBJECTS = ("lines", "dead_leaves", "siemens", "clouds")
MOST_WORKERS = 8
# Regions for each picture that is made: of the training, where making one takes longer than a step, and held out.
REUSE, HELD_OUT_REUSE = 64, 2
# Steps that are held out, and what sets their seeds apart from those of training.
HELD_OUT = 8
APART = 1_000_003
# Last learning rate over the largest.
END_RATE = 0.02


@dataclass(frozen=True)
class Pretrained:
    """A pre-trained network with its curves (one value a check), the seconds and steps it took and the patterns it saw.

    ``began_from`` is the hash of the weights that it started from, empty where they were random; ``ended`` the signal
    that ended the run before its steps were done, None where none did.
    """

    pinn: PtychoPINN
    config: TrainingConfig
    history: dict[str, list[float]]
    seconds: float
    n_steps: int
    n_patterns: int
    began_from: str
    ended: int | None


def pretrain(
    config: PretrainingConfig,
    execution: PyTorchExecutionConfig | None = None,
    *,
    folder: Path | None = None,
    watcher: Watcher = NOBODY,
) -> Pretrained:
    """Train a network on a stream of simulated experiments.

    Parameters
    ----------
    config, execution
        What to simulate, what to learn and how.
    folder
        Where choices and curves go; None to write nothing.
    watcher
        Who is told how it goes, beside the line on the terminal that ``execution.enable_progress_bar`` asks for.

    Returns
    -------
    Pretrained
        Its network has the averaged weights; the probe in it is that of an experiment that is held out, and only a
        place for that of a scan.

    Raises
    ------
    ConfigError
        The device is not there, ``config.from_bundle`` holds another network, or training diverged.
    BundleError
        ``config.from_bundle`` can't be used.
    """
    execution = execution or PyTorchExecutionConfig()
    lightning.seed_everything(config.seed, verbose=False)
    device = resolve_device(execution.accelerator)
    data = StreamDataModule(config, pinned=device.type == "cuda")
    choices = TrainingConfig(config.model, subsample_seed=config.seed, output_dir=config.output_dir)
    first = simulate(data.held_out[0], Pictures())
    pinn = build(config.model, choices, Constants.of_probe(first.probe[0]))
    began_from = "" if config.from_bundle is None else start_from(config.from_bundle, pinn, config.model)
    module = PretrainingModule(pinn, config, execution)
    curves = Curves(None if folder is None else folder / "logs" / "metrics.csv")
    time_limit = math.inf if config.minutes is None else 60 * config.minutes
    ends = EndsInTime(time_limit)
    if folder is not None:
        write_yaml(folder / "config.yaml", config, execution)
    with quietly(), progress_line(shown=execution.enable_progress_bar) as line:
        watched = Watched(Watchers(line, watcher), curves, time_limit)
        callbacks = [curves, AveragedWeights(config.steps), ends, watched]
        trainer = lightning.Trainer(
            max_epochs=-(-config.steps // config.check_every),
            max_steps=config.steps,
            limit_train_batches=min(config.check_every, config.steps),
            accelerator="gpu" if device.type == "cuda" else execution.accelerator,
            # Every process would draw the same steps: more devices would take their share and add nothing.
            devices=1,
            precision=execution.precision,
            use_distributed_sampler=False,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=folder,
            num_sanity_val_steps=0,
        )
        with repeatable(execution.deterministic):
            trainer.fit(module, data)
    require_finite(curves.history["train_loss"], execution.learning_rate)
    took = curves.seconds, curves.steps[-1], curves.n_patterns
    return Pretrained(pinn.eval(), choices, curves.history, *took, began_from, ends.asked)


class PretrainingModule(lightning.LightningModule):
    """Steps over simulated experiments; the loss is the relative error of the object."""

    def __init__(self, pinn: PtychoPINN, config: PretrainingConfig, execution: PyTorchExecutionConfig) -> None:
        super().__init__()
        self.pinn = pinn
        self.config = config
        self.execution = execution
        self._pictures = Pictures()
        self._held_out = Pictures()

    def transfer_batch_to_device(self, batch: Draw, device: torch.device, dataloader_idx: int) -> Draw:
        """Put a step on the device."""
        return batch.to(device)

    def training_step(self, draw: Draw, _index: int) -> Tensor:
        """Return the distance of what the network makes of a step from the truth."""
        loss = self._distance(draw, self._pictures)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Begin with the same pictures every time."""
        self._held_out = Pictures()

    def validation_step(self, draw: Draw, _index: int) -> None:
        """Log the distance of a step that is held out."""
        self.log("val_loss", self._distance(draw, self._held_out), on_epoch=True, batch_size=1)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm of the gradients."""
        limit = self.execution.gradient_clip_val
        self.clip_gradients(optimizer, CLIP_NORM if limit is None else limit, "norm")

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimiser, and a schedule that ends with the steps or with the time, whichever is earlier."""
        optimizer = AdamW(self.pinn.network.parameters(), lr=self.execution.learning_rate)
        n_steps = self.config.steps
        factor = warm_up_cosine(n_steps, max(1, round(WARM_UP * n_steps)), END_RATE)
        begun, minutes = time.monotonic(), self.config.minutes

        def of_step(step: int) -> float:
            if minutes is None:
                return factor(step)
            passed = (time.monotonic() - begun) / (60 * minutes)
            return factor(max(step, round(passed * n_steps)))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, of_step), "interval": "step"}}

    def _distance(self, draw: Draw, pictures: Pictures) -> Tensor:
        simulated = simulate(draw, pictures)
        return distance(self.pinn(simulated.batch, simulated.probe), simulated.truth)


class StreamDataModule(lightning.LightningDataModule):
    """The stream of training, and steps of another seed that are held out."""

    def __init__(self, config: PretrainingConfig, *, pinned: bool) -> None:
        super().__init__()
        self.config = config
        self._pinned = pinned
        held_out = self._stream(config.seed + APART, HELD_OUT, HELD_OUT_REUSE)
        self.held_out = [held_out[step] for step in range(HELD_OUT)]

    def train_dataloader(self) -> DataLoader[Draw]:
        """Return the steps between two checks; those of the next come after them."""
        config = self.config
        asked = config.n_workers
        workers = min(MOST_WORKERS, (os.cpu_count() or 1) - 1) if asked is None else asked
        return DataLoader(
            self._stream(config.seed, config.steps, REUSE),
            batch_size=None,
            sampler=_Onwards(config.steps, config.check_every),
            num_workers=workers,
            persistent_workers=workers > 0,
            # A copy that the GPU has to wait for would cost as much as the step where others use it too.
            pin_memory=self._pinned,
            worker_init_fn=_one_thread_and_no_signals,
        )

    def val_dataloader(self) -> DataLoader[Draw]:
        """Return the steps that are held out, the same every time."""
        return DataLoader(self.held_out, batch_size=None)

    def _stream(self, seed: int, n_steps: int, reuse: int) -> SimulationStream:
        config = self.config
        return SimulationStream(
            config.N,
            config.n_regions,
            config.n_members,
            OBJECTS,
            (config.fewest_photons, config.most_photons),
            (config.least_overlap, config.most_overlap),
            reuse=reuse,
            seed=seed,
            n_steps=n_steps,
        )


class _Onwards(Sampler[int]):
    """Steps that go on from one epoch of Lightning to the next, which it names before it begins."""

    def __init__(self, n_steps: int, per_epoch: int) -> None:
        self._n_steps, self._per_epoch, self._epoch = n_steps, per_epoch, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next steps belong to."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        first = self._epoch * self._per_epoch
        return iter(range(first, min(first + self._per_epoch, self._n_steps)))

    def __len__(self) -> int:
        return min(self._per_epoch, self._n_steps)


class EndsInTime(Interruptions):
    """Ends a run in order, with the averaged weights, when it is asked to or its time is up.

    Parameters
    ----------
    time_limit
        Seconds that the run has.
    """

    def __init__(self, time_limit: float) -> None:
        super().__init__(None)
        self._time_limit = time_limit
        self._since = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Listen, and start the clock."""
        super().on_train_start(trainer, pl_module)
        self._since = time.monotonic()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Leave the end to the steps."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End after this step where the time is up."""
        late = time.monotonic() - self._since >= self._time_limit
        if late or self.asked is not None:
            trainer.should_stop = True


def _one_thread_and_no_signals(_worker: int) -> None:
    """Simulate in one thread beside the others; Ctrl-C, which reaches every process of a job, is for the run."""
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
